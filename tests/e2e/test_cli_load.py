"""`thinfer load` and `thinfer plan` on a real service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.http_double import Server, in_thread
from tests.support.serving import Process, serve_process
from thinfer.cli.main import main

QUICK = ("--seconds", "0.3", "--warmup", "0.1", "--connections", "8")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("load") / "bundle"
    return make_fake_bundle(place, normal_label="normal").path


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Process]:
    with serve_process(bundle, "--threads", "1") as process:
        yield process


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"{'abc ' * number}\tnormal\n" for number in range(1, 30)))
    return path


def url_of(server: Process) -> str:
    return f"http://{server.host}:{server.port}"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    capsys.readouterr()
    assert main([*map(str, words), "--json", "--quiet"]) == 0
    body: dict[str, object] = json.loads(capsys.readouterr().out)
    return body


@pytest.mark.parametrize("pattern", ["steady", "poisson", "bursts"])
def test_a_rate_on_real_texts(
    server: Process, data: Path, pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("load", url_of(server), "--data", data, "--rate", 100, "--pattern", pattern)
    body = run(capsys, *words, *QUICK)
    assert body["statuses"] == {"200": body["asked"]}
    assert body["bodies"] == 29
    assert body["url"] == f"{url_of(server)}/check"
    assert isinstance(body["service"], dict)
    assert body["service"]["version"] == server.version
    assert body["service"]["threads"] == 1


@pytest.mark.parametrize(
    "route", [("predict",), ("moderations",), ("oip", "--model", "bundle")], ids=lambda r: r[0]
)
def test_several_texts_a_request(
    server: Process, data: Path, route: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("load", url_of(server), "--data", data, "--rate", 30, "--route", *route)
    body = run(capsys, *words, "--batch", 10, "--pattern", "steady", *QUICK)
    assert body["statuses"] == {"200": 9}
    assert body["texts_per_second"] == pytest.approx(10 * float(str(body["requests_per_second"])))


def test_any_route_by_a_template(server: Process, capsys: pytest.CaptureFixture[str]) -> None:
    template = '{"inputs": ["{text}"], "raw_scores": true}'
    words = ("load", f"{url_of(server)}/predict", "--text", "abc", "--rate", 30)
    body = run(capsys, *words, "--route", "raw", "--body", template, *QUICK)
    assert set(body["statuses"]) == {"200"}  # type: ignore[call-overload]


def test_a_search_and_the_plan_out_of_its_file(
    server: Process, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("load", url_of(server), "--data", data, "--saturate", "--steps", 3, "--rate", 20)
    found = run(capsys, *words, "--p99", 5000, *QUICK)
    assert found["saturation"]["rate"] == 40.0  # type: ignore[index]
    file = tmp_path / "found.json"
    file.write_text(json.dumps(found))
    wanted = ("plan", "--measured", file, "--p99", 5000, "--rate", 56, "--core-price", 0.1)
    plan = run(capsys, *wanted)
    assert (plan["processes"], plan["cores"], plan["capacity"]) == (2, 2, 80.0)
    assert plan["price_a_month"] == pytest.approx(2 * 0.1 * 730)
    assert main(list(map(str, wanted))) == 0
    said = capsys.readouterr().out
    assert "146.00 a month" in said
    assert "linear in cores" in said
    assert main([*map(str, wanted), "--p99", "0.001"]) == 4
    assert "no number of cores" in capsys.readouterr().err


def test_a_plan_that_serves_the_bundle_itself(
    bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("plan", bundle, "--data", data, "--rate", 5, "--p99", 5000, "--threads", 1)
    plan = run(capsys, *words, "--seconds", 0.2, "--steps", 3)
    assert (plan["processes"], plan["cores"]) == (1, 1)
    assert plan["measured"]["cores_used"] > 0  # type: ignore[index]


def test_a_plan_of_a_service_that_runs_already(
    server: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("plan", url_of(server), "--text", "abc", "--rate", 1, "--p99", 5000)
    plan = run(capsys, *words, "--seconds", 0.2, "--steps", 3)
    assert plan["measured"]["cores"] == 1  # type: ignore[index]  # its threads


def test_a_key_goes_out_and_is_never_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, double = tmp_path / "key.txt", Server()
    key.write_text("s3cret\n")
    with in_thread(double) as port:
        words = ["load", f"http://127.0.0.1:{port}", "--text", "a", "--rate", "20", *QUICK]
        assert main([*words, "--header", f"authorization: Bearer @{key}", "--json"]) == 0
    captured = capsys.readouterr()
    assert "s3cret" not in captured.out + captured.err
    assert all("authorization: Bearer s3cret" in head for head in double.heads[:1])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("load", "http://example.org", "--text", "a", "--rate", "1"), "--allow-remote"),
        (("load", "http://127.0.0.1:1", "--text", "a", "--rate", "1"), "start it"),
        (("load", "http://127.0.0.1:1", "--text", "a"), "--saturate"),
        (("load", "http://127.0.0.1:1", "--rate", "1"), "--data"),
        (("load", "http://127.0.0.1:1", "--text", "a", "--route", "raw"), "--body"),
        (("load", "http://127.0.0.1:1", "--text", "a", "--route", "oip"), "--model"),
        (("load", "http://127.0.0.1:1", "--text", "a", "--route", "odd"), "moderations"),
        (("load", "http://127.0.0.1:1", "--text", "a", "--batch", "2"), "one text"),
        (("load", "http://127.0.0.1:1", "--text", "a", "--header", "x-key: 1"), "secret"),
        (("plan", "--rate", "1"), "--measured"),
        (("plan", "b", "--rate", "1", "--measured", "f"), "--measured"),
        (("plan", "b", "--rate", "0", "--text", "a"), "rate"),
        (("plan", "b", "--rate", "1", "--text", "a", "--threads", "all"), "--threads"),
        (("plan", "http://example.org", "--rate", "1", "--text", "a"), "loopback"),
    ],
)
def test_a_wrong_wish_is_the_users_error(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(words)) == 2
    assert told in capsys.readouterr().err


def test_a_bundle_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", str(tmp_path / "none"), "--rate", "1", "--text", "a", "--threads", "1"]
    assert main(words) != 0
    assert "none" in capsys.readouterr().err


def test_what_a_search_says_to_people(server: Process, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["load", url_of(server), "--text", "abc", *QUICK]
    assert main([*words, "--rate", "20", "--p99", "5000", "--saturate", "--steps", "3"]) == 0
    captured = capsys.readouterr()
    assert "at least 40.0 requests a second" in captured.out
    assert captured.err.count("step ") == 3
    assert main([*words, "--rate", "20"]) == 0
    assert "p99.9 ms" in capsys.readouterr().out

"""Log lines and request ids: what is in them, and that no text is."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import serve_process, serving
from thinfer.serve.access import JsonLines, RequestIds, configure_logging


def record_of(message: str, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("thinfer.serve", logging.INFO, "f", 1, message, (), None)
    for name, value in extra.items():
        setattr(record, name, value)
    return record


def test_a_record_is_one_line_of_json() -> None:
    body = json.loads(JsonLines().format(record_of("zwei\nZeilen 你好")))
    assert body["message"] == "zwei\nZeilen 你好"
    assert (body["level"], body["logger"]) == ("info", "thinfer.serve")
    assert body["time"].endswith("+00:00")
    line = JsonLines().format(record_of("a", access={"route": "/check", "status": 200}))
    assert "\n" not in line
    access = json.loads(line)
    assert (access["route"], access["status"]) == ("/check", 200)
    assert "message" not in access


def test_an_exception_is_told_by_type_and_place_without_its_words() -> None:
    record = record_of("it failed")
    try:
        message = "secret text"
        raise ValueError(message)
    except ValueError:
        record.exc_info = sys.exc_info()
    line = JsonLines().format(record)
    body = json.loads(line)
    assert body["error"] == "ValueError"
    assert "test_access.py" in body["trace"][0]
    assert "secret" not in line


@pytest.mark.parametrize("given", [b"abc-123", b"x" * 64, b"a/b:c=", b"~!"])
def test_a_short_printable_id_is_the_clients(given: bytes) -> None:
    headers = [(b"host", b"h"), (b"x-request-id", given)]
    assert RequestIds("p").take(headers) == given.decode()


@pytest.mark.parametrize(
    "given", [b"", b"x" * 65, b"a b", b"a\nb", b"a\r\nx: y", b"\x00", "ä".encode(), b"\x7f"]
)
def test_any_other_id_is_replaced(given: bytes) -> None:
    assert RequestIds("p").take([(b"x-request-id", given)]) == "p-1"


def test_ids_made_here_differ() -> None:
    ids = RequestIds("p")
    assert [ids.take([]) for _ in range(3)] == ["p-1", "p-2", "p-3"]


def test_the_id_comes_back_on_every_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        for path in ("/check?content=a", "/nope", "/check"):
            own = harness.client.get(path, headers={"x-request-id": "mine"})
            assert own.headers["x-request-id"] == "mine"
            made = [harness.client.get(path).headers["x-request-id"] for _ in range(2)]
            assert made[0] != made[1]


def test_the_access_line_has_the_fields_and_no_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serving(tmp_path, settings={"access_log": True}) as harness:
        harness.client.get("/check?content=secretword", headers={"x-request-id": "r1"})
        harness.client.post("/predict", json={"inputs": ["secretword", "a"]})
        harness.client.post("/predict", json={"secretword": 1})
        harness.client.get("/secretword?secretword=1")
    lines = [
        JsonLines().format(item) for item in caplog.records if item.name == "thinfer.serve.access"
    ]
    assert not [line for line in lines if "secretword" in line]
    first, second, third, fourth = map(json.loads, lines)
    assert first.pop("ms") > 0
    assert set(first) == {
        "time", "level", "logger", "method", "route", "status", "outcome", "texts", "tokens",
        "version", "request_id",
    }  # fmt: skip
    assert (first["route"], first["status"], first["outcome"]) == ("/check", 200, "ok")
    assert (first["texts"], first["tokens"], first["request_id"]) == (1, 12, "r1")
    assert first["version"] == harness.classifier.version
    assert (second["texts"], second["tokens"]) == (2, 15)
    assert (third["status"], third["texts"]) == (422, 0)
    assert (fourth["route"], fourth["status"]) == ("other", 404)


def test_no_access_line_unless_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serving(tmp_path) as harness:
        harness.client.get("/check?content=a")
    assert not [item for item in caplog.records if item.name == "thinfer.serve.access"]


@pytest.mark.parametrize(("log_format", "is_json"), [("json", True), ("text", False)])
def test_the_format_is_that_of_the_settings(
    log_format: str, is_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ours = logging.Logger("root"), logging.Logger("thinfer")
    handlers: list[logging.Handler] = []
    monkeypatch.setattr(
        logging, "basicConfig", lambda **options: handlers.extend(options["handlers"])
    )
    monkeypatch.setattr(logging, "getLogger", lambda name=None: ours if name else root)
    configure_logging(log_format)
    (handler,) = handlers
    line = handler.format(record_of("hello"))
    assert line.startswith("{") is is_json
    assert "hello" in line
    assert ours.level == logging.INFO


def test_the_process_writes_json_lines(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle").path
    with serve_process(bundle, "--access-log") as process:
        assert process.ask("GET", "/check?content=secretword").status == 200
        process.terminate()
        process.wait()
    lines = [line for line in process.errors if not line.startswith("serving ")]
    bodies = [json.loads(line) for line in lines]
    (access,) = [body for body in bodies if body["logger"] == "thinfer.serve.access"]
    assert access["route"] == "/check"
    assert "secretword" not in "".join(lines)

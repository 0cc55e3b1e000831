"""`thinfer audit` as a user runs it: export, label, judge; and everything that it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.small_task import files_below, half_written, small_task
from thinfer.cli.main import main

ROWS = 600
LABELS = ("normal", "spam", "abuse")
WORDS = "abcdefghijklmnopqrstuvwxyz0123456789"
SECRET = "zq"  # in every text, and in nothing else


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles that answer differently, and traffic."""
    root = tmp_path_factory.mktemp("audit")
    make_fake_bundle(root / "original", labels=LABELS, normal_label="normal")
    make_fake_bundle(root / "bundle", labels=LABELS, normal_label="normal", options={"salt": 3})
    make_fake_bundle(root / "other", labels=("normal", "spam", "ham"), options={"salt": 3})
    rng = np.random.default_rng(0)
    texts = [SECRET + "".join(rng.choice(list(WORDS), size=6)) for _ in range(ROWS)]
    lines = "".join(f"{text}\n" for text in texts)
    (root / "traffic.csv").write_text(f"text\n{lines}")
    (root / "later.csv").write_text(f"text\n{lines}one more\n")
    (root / "named.csv").write_text(f"content\n{lines}")
    return root


Run = Callable[..., int]


@pytest.fixture
def run(files: Path, tmp_path: Path) -> Run:
    """Run the command with the models and traffic of `files`; `out` is below `tmp_path`."""

    def start(*words: object, traffic: str = "traffic.csv", bundle: str = "bundle") -> int:
        models = [files / "original", files / bundle, "--traffic", files / traffic]
        return main(["audit", *map(str, [*models, "--out", tmp_path / "out", *words]), "--quiet"])

    return start


def judge(out: Path, labelled: Path, *words: str) -> int:
    return main(["audit", "--out", str(out), "--labels", str(labelled), "--quiet", *words])


def label(out: Path, truth: Callable[[str, str], str], *, name: str = "labelled.csv") -> Path:
    """Fill in the sheet from what the key says both models said."""
    key = {row["id"]: row for row in json.loads((out / "key.json").read_text())["rows"]}
    with (out / "to_label.csv").open(encoding="utf-8-sig", newline="") as stream:
        sheet = list(csv.DictReader(stream))
    for row in sheet:
        row["label"] = truth(key[row["id"]]["original"], key[row["id"]]["candidate"])
    with (out / name).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(sheet[0]))
        writer.writeheader()
        writer.writerows(sheet)
    return out / name


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


FLOOR = ("--floor", "flagged_recall>=80%")


def test_export_label_judge(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*FLOOR, "--sample", 30, "--json") == 0
    first = printed(capsys)
    floor, part = first["floors"][0], first["labelling"]
    assert (first["rows"], first["verdict"], floor["interval"]) == (ROWS, "unproven", [None, None])
    assert part["rows"] == part["changed"] + 30 == part["missing"]
    out = tmp_path / "out"
    labelled = label(out, lambda original, candidate: candidate)
    assert judge(out, labelled, "--json") == 0
    found = printed(capsys)["floors"][0]
    populations = found["populations"]
    assert found["verdict"] == "holds"  # what the bundle says is the truth: it lost nothing
    assert found["losses"] == 0
    assert found["gains"] == populations["may_gain"]
    assert found["trials"] == populations["agreed"]
    wrong = label(out, lambda original, candidate: original, name="wrong.csv")
    assert judge(out, wrong) == 4  # what the original says is the truth: all changes are losses
    said = capsys.readouterr()
    assert "broken" in said.err
    assert "labelled: " in said.out


def test_a_part_of_what_differs_may_be_labelled_and_costs_width(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The true retention, all that differs being labelled, lies within both intervals."""
    found = []
    for words in ((), ("--most", 40)):
        assert run(*FLOOR, *words) == 0
        out = tmp_path / "out"
        labelled = label(out, lambda original, candidate: min(original, candidate))
        capsys.readouterr()
        judge(out, labelled, "--json")
        found.append(printed(capsys))
        shutil.move(out, tmp_path / str(len(found)))
    assert found[1]["labelling"]["rows"] == found[0]["labelling"]["rows"] - (
        found[0]["labelling"]["changed"] - 40
    )
    (whole, part) = (each["floors"][0] for each in found)
    assert part["interval"][0] < whole["interval"][0] < whole["retention"]
    assert part["interval"][0] < whole["retention"] < part["interval"][1]


def test_the_sheet_shows_no_side_and_no_text_leaves_the_folder(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*FLOOR, "--sample", 30) == 0
    said = capsys.readouterr()
    out = tmp_path / "out"
    written = files_below(tmp_path)
    with_text = {name for name, raw in written.items() if SECRET.encode() in raw}
    assert with_text == {"out/to_label.csv"}
    assert SECRET not in said.out + said.err
    sheet = (out / "to_label.csv").read_text(encoding="utf-8-sig")
    assert sheet.startswith("id,text,label\n")
    assert not any(name in sheet for name in LABELS)
    rows = [row["row"] for row in json.loads((out / "key.json").read_text())["rows"]]
    agreed = [
        r["original"] == r["candidate"] for r in json.loads((out / "key.json").read_text())["rows"]
    ]
    assert rows != sorted(rows)
    assert 0 < agreed.index(True) < len(agreed) - 1 - agreed[::-1].index(True) > 60
    assert half_written(tmp_path) == []


def test_the_same_seed_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    assert run(*FLOOR) == 0
    shutil.move(tmp_path / "out", tmp_path / "first")
    assert run(*FLOOR) == 0
    for name in ("to_label.csv", "key.json", "audit.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_the_default_floors_and_a_bound_from_a_precision(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--known-precision", 0.9) == 0
    said = capsys.readouterr()
    assert "flagged_recall>=99.5%" in said.out
    assert "as it was given" in said.out
    assert "flag_rate<=105%" in said.out
    assert "even without a loss it takes about" in said.out


def test_partly_labelled_says_what_is_missing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*FLOOR, "--sample", 30) == 0
    out = tmp_path / "out"
    full = label(out, lambda original, candidate: candidate)
    lines = full.read_text().splitlines(keepends=True)
    half = out / "half.csv"
    half.write_text("".join(lines[:20]))
    capsys.readouterr()
    assert judge(out, half, "--json") == 0
    found = printed(capsys)
    assert found["labelling"]["missing"] == found["labelling"]["rows"] - 19
    assert (found["verdict"], found["floors"][0]["retention"]) == ("unproven", None)
    assert judge(out, half, "--require-proof") == 4


def test_label_files_that_do_not_match_are_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*FLOOR, "--sample", 30) == 0
    out = tmp_path / "out"
    good = label(out, lambda original, candidate: candidate).read_text()
    first = good.splitlines()[1]
    bad = {
        "another id": (good.replace(first, f"f{first}"), "is not the file of this audit"),
        "twice": (f"{good}{first}\n", "more than once"),
        "a label that nobody knows": (f"{good.splitlines()[0]}\n{first}ly\n", "not labels of this"),
        "no ids": (good.replace("id,", "number,"), "no column 'id'"),
        "no labels": (good.replace(",label", ",answer"), "no column 'label'"),
    }
    for name, (text, message) in bad.items():
        (out / "bad.csv").write_text(text)
        capsys.readouterr()
        assert judge(out, out / "bad.csv") == 3, name
        said = capsys.readouterr().err
        assert message in said, name
        assert SECRET not in said
    assert judge(out, out / "labelled.csv") == 0  # nothing was lost


def test_a_changed_key_is_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*FLOOR, "--sample", 30) == 0
    out = tmp_path / "out"
    labelled = label(out, lambda original, candidate: candidate)
    key = out / "key.json"
    key.write_text(key.read_text().replace('"normal"', '"spam"', 1))
    assert judge(out, labelled) == 3
    assert "is not the one that was written" in capsys.readouterr().err
    key.unlink()
    assert judge(out, labelled) == 3
    assert "is absent" in capsys.readouterr().err


def test_an_audit_is_not_overwritten_and_goes_on(
    run: Run, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*FLOOR) == 0
    out = tmp_path / "out"
    label(out, lambda original, candidate: candidate, name="to_label.csv")  # in place
    before = files_below(out)
    assert run(*FLOOR) == 2
    assert "holds an audit already" in capsys.readouterr().err
    assert run(*FLOOR, "--resume") == 0
    assert run(*FLOOR, "--resume", traffic="later.csv") == 2
    assert "another traffic" in capsys.readouterr().err
    assert run("--floor", "flagged_recall>=60%", "--resume") == 2
    assert "another floors" in capsys.readouterr().err
    assert files_below(out) == before
    models = [str(files / name) for name in ("original", "bundle")]
    words = ["--traffic", str(files / "traffic.csv")]
    again = ["--out", str(out), "--labels", str(out / "to_label.csv"), "--quiet"]
    assert main(["audit", *models, *words, *again]) == 0
    assert main(["audit", *models, *words, *again, "--floor", "accuracy>=90%"]) == 2
    assert main(["audit", *reversed(models), *words, *again]) == 2
    assert "another original, bundle" in capsys.readouterr().err


def test_an_interrupted_run_goes_on_where_it_was(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thinfer.pipeline import audit as module
    from thinfer.pipeline.audit_folder import AuditFolder

    monkeypatch.setattr(module, "CHUNK_ROWS", 100)
    store = AuditFolder.write_answers
    stored: list[int] = []

    def interrupt(self: AuditFolder, start: int, part: Any) -> None:  # noqa: ANN401 - an array
        if len(stored) == 3:
            raise KeyboardInterrupt
        stored.append(start)
        store(self, start, part)

    monkeypatch.setattr(AuditFolder, "write_answers", interrupt)
    assert run(*FLOOR) == 130
    assert not (tmp_path / "out" / "to_label.csv").exists()
    assert main(["audit", "--out", str(tmp_path / "out"), "--labels", "x.csv", "--quiet"]) == 2
    monkeypatch.setattr(AuditFolder, "write_answers", store)
    assert run(*FLOOR, "--resume") == 0
    shutil.move(tmp_path / "out", tmp_path / "first")
    assert run(*FLOOR) == 0
    for name in ("to_label.csv", "key.json", "audit.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_a_checkpoint_beside_its_own_bundle_and_a_bound_from_labelled_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = small_task()
    packed, out = str(tmp_path / "packed"), str(tmp_path / "out")
    words = ["--precision", "fp32", "--engine", "onnxruntime", "--threads", "1", "--quiet"]
    assert main(["pack", str(task.model), "--out", packed, *words]) == 0
    models = ["audit", str(task.model), packed, "--traffic", str(task.test), "--out", out]
    words = ["--normal-label", "normal", "--test", str(task.dev), "--threads", "1", "--quiet"]
    capsys.readouterr()
    assert main([*models, *words, "--json"]) == 0
    found = printed(capsys)
    assert found["agreement"] == 1.0
    flagged, rate = found["floors"]
    assert (flagged["basis"], flagged["precision"]["source"]) == ("bound", "test")
    assert flagged["interval"][0] > 0
    assert (rate["basis"], rate["retention"]) == ("answers", 1.0)


def test_what_cannot_be_audited_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusals: list[tuple[tuple[object, ...], dict[str, str], int, str]] = [
        ((), {"traffic": "named.csv"}, 3, "no column 'text'"),
        ((), {"traffic": "gone.csv"}, 2, "does not exist"),
        ((), {"bundle": "other"}, 3, "do not have the same labels"),
        (("--floor", "macro_f1>=99%"), {}, 2, "cannot be audited"),
        (("--floor", "accuracy>=99%", "--known-precision", 0.9), {}, 2, "flagged rows"),
        (("--known-precision", 1.5), {}, 2, "--known-precision is no share"),
        (("--sample", -1), {}, 2, "--sample"),
        (("--known-precision", 0.9, "--test", "x.csv"), {}, 2, "both"),
    ]
    for words, named, code, message in refusals:
        capsys.readouterr()
        assert run(*words, **named) == code, message
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out" / "audit.json").exists()
    assert run("--text-column", "content", *FLOOR, traffic="named.csv") == 0
    assert main(["audit", "--quiet"]) == 2
    gone = tmp_path / "gone"
    assert main(["audit", "--out", str(gone), "--labels", "x.csv", "--quiet"]) == 2
    assert not gone.exists()

"""`thinfer bench` on a bundle of the fake engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.cli.main import main

Capture = pytest.CaptureFixture[str]
QUICK = ("--rounds", "2", "--threads", "1", "--lengths", "1x8,2x4", "--quiet")


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(make_fake_bundle(tmp_path / "bundle").path)


def test_json_has_a_row_for_each_engine_and_workload(bundle: str, capsys: Capture) -> None:
    assert main(["bench", bundle, *QUICK, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert {row["workload"] for row in body["rows"]} == {"1x8", "2x4"}
    assert "bundle:fake" in {row["name"] for row in body["rows"]}
    assert body["machine"]["cores"] >= 1


def test_without_peers_the_bundle_is_measured_alone(
    bundle: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinfer.core.optional.is_available", lambda name: False)
    assert main(["bench", bundle, *QUICK]) == 0
    assert "baseline bundle:fake" in capsys.readouterr().out
    assert main(["bench", bundle, *QUICK, "--against", "transformers"]) == 5
    assert "thinfer[compress]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--lengths", "8"), 2),
        (("--rounds", "0"), 2),
        (("--lengths", "corpus:nowhere.csv"), 2),
    ],
)
def test_nonsense_is_told_with_its_exit_code(
    bundle: str, capsys: Capture, words: tuple[str, ...], code: int
) -> None:
    assert main(["bench", bundle, *QUICK, *words]) == code
    assert capsys.readouterr().err.startswith("thinfer: ")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert main(["bench", str(tmp_path), *QUICK]) == 3
    assert "manifest.json" in capsys.readouterr().err

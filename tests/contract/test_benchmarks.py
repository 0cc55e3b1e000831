"""The page of results is what its JSON files give; nobody edits a figure by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.render import PAGE, read_results, render
from benchmarks.run import STEPS
from benchmarks.settings import ROOT

STORED = read_results(ROOT / "benchmarks" / "results")
MACHINE: dict[str, Any] = {
    "cpu": "A chip",
    "flags": ["avx2"],
    "cores": 2,
    "cores_of_host": 4,
    "memory_bytes": 2**33,
    "system": "Linux",
    "python": "3.11",
    "libraries": {"numpy": "2"},
}
AGREEMENT = {
    "precision": "int8",
    "rows": 200,
    "agreement": {"cli-http": 1.0, "cli-python": 0.995},
    "check_rows": 10,
    "check_agreement": 1.0,
    "machine": MACHINE,
    "threads": 2,
    "limit": None,
}


@pytest.mark.skipif(not STORED, reason="no results are stored")
def test_the_page_is_what_the_results_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(STORED)


@pytest.mark.skipif(not STORED, reason="no results are stored")
def test_no_trial_is_stored_as_a_result() -> None:
    bodies = [body for results in STORED.values() for body in results.values()]
    assert all(body["limit"] is None for body in bodies)


def test_a_changed_figure_changes_the_page() -> None:
    page = render({"agreement": {"sst2": AGREEMENT}})
    assert "99.50%" in page
    assert "A chip" in page
    assert "not a result" not in page
    other = {**AGREEMENT, "agreement": {"cli-http": 0.9}, "limit": 200}
    changed = render({"agreement": {"sst2": other}})
    assert "90.00%" in changed
    assert "A trial on 200 rows" in changed


def test_every_step_is_a_script_that_the_readme_names() -> None:
    folder = Path(ROOT) / "benchmarks"
    text = (folder / "README.md").read_text(encoding="utf-8")
    for step in STEPS:
        assert (folder / f"{step}.py").is_file()
        assert f"benchmarks.{step}" in text


@pytest.mark.skipif("compress" not in STORED, reason="no results are stored")
def test_the_readme_quotes_the_results() -> None:
    page = (Path(ROOT) / "README.md").read_text(encoding="utf-8")
    for name in ("sst2-all", "thuc-all", "cold-all"):
        body = STORED["compress"][name]
        share = body["chosen"]["size_bytes"] / body["original"]["size_bytes"]
        ends = [body[end]["metrics"]["accuracy"] for end in ("original", "chosen")]
        accuracy = f"{ends[0]:.2%} → {ends[1]:.2%}"
        cells = (f"{body['speedup']:.1f}×", f"{share:.0%}", accuracy, body["verdict"])
        assert f"| {' | '.join(cells)} |" in page

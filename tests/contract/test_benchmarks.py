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


STUDENT = {
    "method": "ernie-3.0-nano, distilled",
    "beside": "ernie-3.0-nano, distilled",
    "measured": 1.5,
    "measured_fp32": 1.25,
    "predicted": None,
    "accuracy": 0.8,
    "kept": 0.96,
    "lost": 7,
    "gained": 3,
}
DYNABERT: dict[str, Any] = {
    "versions": {"paddlenlp": "2.8.1"},
    "command": "python compress.py FOLDER",
    "as_published": {"error": "ValueError: too many values", "stage": "Trainer.compress"},
}


def render_students(dynabert: dict[str, Any]) -> str:
    body = {
        "engine": "onnxruntime int8",
        "rows": 100,
        "dense_accuracy": 0.9,
        "epochs": 2,
        "states": [STUDENT, {**STUDENT, "method": "thinfer, pruned and distilled"}],
        "dynabert": dynabert,
        "machine": MACHINE,
        "threads": 2,
        "limit": None,
    }
    return render({"students": {"thuc": body}})


def test_students_name_the_speed_they_were_matched_to() -> None:
    page = render_students({"absent": "left out"})
    assert "| ernie-3.0-nano, distilled |  | 1.50 | 1.25 |" in page
    assert "| thinfer, pruned and distilled | ernie-3.0-nano, distilled | 1.50 |" in page
    assert "not run: left out" in page


def test_what_a_library_fails_with_is_on_the_page_beside_its_repair() -> None:
    sizes = {"weights": 2_000_000, "exported by the library": 1_000_000}
    repaired = {"error": None, "seconds": 120.0, "bytes 2/3": sizes}
    outcome = {**DYNABERT, "repairs": ["one thing"], "repaired": repaired}
    page = render_students({**outcome, "newest": DYNABERT, "max_abs_to_paddle": 2e-6})
    failure = "as published (paddlenlp 2.8.1): `ValueError: too many values` in Trainer.compress"
    assert page.count(failure) == 2
    assert "repaired (paddlenlp 2.8.1): ran, 2.0 min" in page
    assert "repair: one thing" in page
    assert "width 2/3: 2.0 MB of weights; the library's own export of it has 1.0 MB" in page
    assert "max abs Δ 2.0e-06" in page


def test_quantised_forms_that_failed_are_named() -> None:
    form = {
        **{"name": "quantize_dynamic", "engine": "onnxruntime", "size_bytes": 4_000_000},
        **{"accuracy": 0.8, "kept": 0.99, "lost": 2, "gained": 1, "agreement": 0.97},
        "ratio": {"ratio": 1.7, "low": 1.6, "high": 1.8, "pairs": 9},
    }
    body = {
        "rows": 100,
        "calibration": 300,
        "forms": [form],
        "failed": [{"name": "nncf.quantize", "reason": "RuntimeError: no"}],
        "machine": MACHINE,
        "threads": 2,
        "limit": None,
    }
    page = render({"quantise": {"sst2": body}})
    assert "| quantize_dynamic | onnxruntime | 1.70 | 1.60 … 1.80 | 80.00% | 99.00% |" in page
    assert "nncf.quantize failed: RuntimeError: no" in page


HTTP_ROW: dict[str, Any] = {
    "p50_ms_quiet": 9.96,
    "p99_ms_busy": None,
    "capacity": 123.0,
    "within_limit": [90.0, None, 80.0],
    "texts_per_second_per_core": 77.0,
    "rss_bytes": 5_000_000,
    "generator_faults": [],
}
HTTP: dict[str, Any] = {
    **{"kind": "drawn", "layers": 6, "hidden": 768, "service_threads": 1, "limit_ms": 50.0},
    **{"quiet_rate": 2.0, "busy_rate": 40.0, "best_peer": "fastapi", "connections": 32},
    **{"graph": "ab" * 32, "has_spare_cores": False, "machine": MACHINE, "threads": 1},
    **{"limit": None, "absent": [{"name": "litserve", "reason": "no network"}]},
    "effort": {"rounds": 5, "seconds": 8.0, "searches": 3, "steps": 12},
    "rows": [
        {"name": "thinfer", **HTTP_ROW},
        {"name": "fastapi", **HTTP_ROW, "generator_faults": ["it slept"]},
    ],
    "same_labels_as_fastapi": {"thinfer": 0.995, "fastapi": 1.0},
    "ratios": {
        "thinfer": {"p99 at 80 %": {"ratio": 0.61, "interval": [0.5, 0.7], "rounds": 4, "of": 5}}
    },
    "batches": {
        "thinfer": {
            **{"batch": 32, "http_texts_per_second": 850.0, "inside_texts_per_second": 1000.0},
            **{"share": 0.85, "share_interval": [0.8, 0.9]},
        }
    },
}


def test_services_on_the_same_file_show_what_was_reached_and_what_was_not() -> None:
    page = render({"http": {"6 × 768": HTTP}})
    assert "| thinfer | 10.0 |  | 123 | 80 * | 77 | 5.0 MB | 99.50% |" in page
    assert "| thinfer over the best peer | p99 at 80 % | 0.61 | 0.50 … 0.70 | 4 of 5 |" in page
    assert "| thinfer | 850 | 1,000 | 85.00% | 80 … 90 % |" in page
    assert "litserve: absent: no network" in page
    assert "fastapi: in some turns it slept" in page
    assert "the services' own cores" in page


def test_what_a_request_costs_beside_the_model_is_shown() -> None:
    row = {"name": "thinfer", "cpu_ms": 0.1234, "cpu_ms_busy": 0.1, "p50_ms": 0.5}
    rows = [{**row, "requests_per_second": 4000.0}]
    page = render({"http": {"next to nothing": {**HTTP, "kind": "overhead", "rows": rows}}})
    assert "| thinfer | 0.123 | 0.100 | 4,000 | 0.50 |" in page


def test_cascades_show_what_chose_and_what_judged() -> None:
    floor = {"expr": "accuracy>=99.5%", "value": 0.8, "interval": [0.79, 0.81], "verdict": "holds"}
    accuracies = {"small": 0.7, "big": 0.81, "cascade": 0.8}
    part = {
        **{"n": 5306, "cloud_share": 0.266, "floors": [floor]},
        "metrics": {name: {"accuracy": value} for name, value in accuracies.items()},
    }
    body = {
        "small": {"engine": "onnxruntime", "precision": "int8"},
        "big": {"engine": "onnxruntime", "precision": "fp32"},
        **{"small_bytes": 4_000_000, "big_bytes": 50_000_000, "threshold": 0.8},
        **{
            "small_speedup": 10.0,
            "dev": part,
            "test": part,
            "stopped": {"reasons": ["too few rows"]},
        },
        **{"machine": MACHINE, "threads": 2, "limit": None},
    }
    gate = {**body, "test": None, "threshold": None}
    del gate["small_speedup"]
    gate["dev"] = {**part, "metrics": {name: {"accuracy": 0.8} for name in ("big", "cascade")}}
    page = render({"cascade": {"cold": body, "cold, gate": gate}})
    row = (
        "| 70.00% | 81.00% | 80.00% | 10.00 | 26.60% | 36.60% "
        "| accuracy>=99.5% | 80.00% | 0.7900 … 0.8100 | holds |"
    )
    assert page.count(row) == 2
    assert "|  | 80.00% | 80.00% |  | 26.60% |  |" in page
    assert "- cold: the next step: too few rows" in page
    assert "- cold, gate: every text goes on: too few rows" in page


def test_audits_show_the_bound_beside_the_truth_and_the_labels_they_took() -> None:
    expr = "flagged_recall>=98%"
    floor = {
        "without": {"expr": expr, "interval": [0.95, None], "verdict": "unproven"},
        "labelled": {"retention": 0.995, "interval": [0.985, 1.0], "verdict": "holds"},
        "whole": {"original": 0.8, "value": 0.792, "interval": [0.788, 0.8], "verdict": "holds"},
    }
    body = {
        "rows": 2600,
        "agreement": 0.99,
        "labelling": {"rows": 226, "changed": 26, "agreed": 200},
        "floors": [floor],
        "bundle": {"engine": "native", "precision": "int8"},
        "test_rows": 2600,
        **{"machine": MACHINE, "threads": 1, "limit": None},
    }
    page = render({"audit": {"cold, flagged recall": body}})
    assert f"| 2,600 | 226 | 8.69% | {expr} | 99.00% | 95.00% | unproven | 99.50% |" in page
    assert "| 98.50% | holds | 98.50% | holds |" in page
    assert "native int8, 99.00% of 2,600 answers are the original's; 26 rows differ" in page


FLOOR: dict[str, Any] = {
    **{"expr": "recall[1]>=99.5%", "verdict": "unproven", "trials": 1625, "losses": 3, "gains": 1},
    **{"kept": 0.9988, "kept_interval": [0.9952, 1.0029], "rows_needed": 5400},
}
STAMP: dict[str, Any] = {"machine": MACHINE, "threads": 1, "limit": None}


def test_classes_and_moderation_show_what_was_kept_and_what_is_needed() -> None:
    one = {"engine": "native", "precision": "int8", "rows": 5323, "floors": [FLOOR], **STAMP}
    page = render({"classes": {"cold": one}})
    row = "recall[1]>=99.5% | 1,625 | 3 | 1 | 99.88% | 0.9952 … 1.0029 | unproven | 5,400 |"
    assert f"| cold | native int8 | {row}" in page
    case = {"rows": 3315, "positives": 99, "first_draw": [FLOOR], "whole": [FLOOR], "draws": 50}
    seen = [{"accuracy": "holds", "recall": "broken", "draws": 48}]
    page = render({"moderation": {"cold, half": {**case, "verdicts": seen, **STAMP}}})
    assert f"| cold, half | 3 % findings | {row}" in page
    assert "| cold, half | holds | broken | 48 of 50 |" in page


def test_the_worst_false_holds_are_named() -> None:
    worst = {"trials": 1941, "chance": 0.0499}
    rows = [
        {"allowed": 0.01, "changed": 0.02, "chance": {"100": 0.0, "1000": 0.031}, "worst": worst},
        {"allowed": 0.02, "changed": 0.02, "chance": {"100": 0.04, "1000": 0.02}, "worst": worst},
    ]
    absolute = [{"bound": 0.9, "rows": 100, "chance": 0.049}]
    body = {"rows": rows, "absolute": absolute, "same_as_judge": {"asked": 9, "alike": 9}, **STAMP}
    page = render({"proof": {"false holds": body}})
    assert "| 2.0% | 4.00% | 3.10% |" in page
    assert "4.99%, at T = 1,941" in page


def test_every_step_is_a_script_that_the_readme_names() -> None:
    folder = Path(ROOT) / "benchmarks"
    text = (folder / "README.md").read_text(encoding="utf-8")
    for step in STEPS:
        assert (folder / f"{step}.py").is_file()
        assert f"benchmarks.{step}" in text


@pytest.mark.skipif("compress" not in STORED, reason="no results are stored")
def test_the_readme_quotes_the_results() -> None:
    page = (Path(ROOT) / "README.md").read_text(encoding="utf-8")
    for name in ("sst2-all", "thuc-all", "thuc12-all", "cold-all"):
        body = STORED["compress"][name]
        share = body["chosen"]["size_bytes"] / body["original"]["size_bytes"]
        ends = [body[end]["metrics"]["accuracy"] for end in ("original", "chosen")]
        accuracy = f"{ends[0]:.2%} → {ends[1]:.2%}"
        cells = (f"{body['speedup']:.1f}×", f"{share:.0%}", accuracy, body["verdict"])
        assert f"| {' | '.join(cells)} |" in page

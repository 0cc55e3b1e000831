"""A whole result of `compress --json`, for tests only: every figure in it is invented.

It also fixes the optional fields that the report page understands beyond the ones DESIGN names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thinfer.pipeline.per_class import describe_classes
from thinfer.quality import LabelSet, parse_floor

__all__ = ["crowded_result", "sample_result", "wordy_result"]

_LABELS = ("normal", "spam", "abuse")


def _metrics(accuracy: float, flagged: float, n: int) -> dict[str, Any]:
    return {
        "accuracy": accuracy,
        "macro_f1": accuracy - 0.011,
        "recall": {name: accuracy - 0.004 * place for place, name in enumerate(_LABELS)},
        "precision": {name: accuracy - 0.003 * place for place, name in enumerate(_LABELS)},
        "flagged_recall": flagged,
        "flag_rate": 0.31,
        "n": n,
    }


def _shape(heads: list[int], ffn: list[int], vocab: int) -> dict[str, Any]:
    return {
        "kind": "thinfer.architecture",
        "version": 1,
        "hidden": 384,
        "layers": [
            {"heads": h, "qk_size": 32, "value_size": 32, "ffn": f}
            for h, f in zip(heads, ffn, strict=True)
        ],
        "vocab": vocab,
        "positions": 128,
        "classes": len(_LABELS),
    }


_FULL = _shape([12] * 6, [1536] * 6, 21_128)
_CUT = _shape([8, 9, 6, 6, 4, 0], [1024, 896, 768, 768, 512, 320], 9_412)


def _candidate(name: str, place: dict[str, Any]) -> dict[str, Any]:
    speedup = place.get("speedup")
    accuracy = place.get("accuracy")
    flagged = place.get("flagged", accuracy)
    return {
        "name": name,
        "engine": place.get("engine", "onnxruntime"),
        "precision": place.get("precision", "fp32"),
        "architecture": place.get("architecture", _CUT),
        "dev_metrics": _metrics(accuracy, flagged, 2000) if accuracy and flagged else None,
        "speedup": speedup,
        "latency_ratio": speedup * 0.9 if speedup else None,
        "latency_ms": 14.2 / (speedup * 0.9) if speedup else None,
        "predicted_latency_ms": place.get("predicted"),
        "texts_per_second": 141.0 * speedup if speedup else None,
        "size_bytes": place.get("size"),
        "peak_rss_bytes": place.get("rss"),
        "refused": place.get("refused"),
        "kept_fp32": place.get("kept_fp32", []),
    }


def _candidates() -> list[dict[str, Any]]:
    too_low = "on dev, flagged_recall stays below its floor by more than the margin"
    rows: list[tuple[str, dict[str, Any]]] = [
        (
            "full-fp32",
            {
                "accuracy": 0.9465,
                "flagged": 0.9402,
                "speedup": 1.32,
                "size": 104_000_000,
                "rss": 610_000_000,
                "architecture": _FULL,
            },
        ),
        (
            "w3/4-fp32",
            {
                "accuracy": 0.9462,
                "flagged": 0.9397,
                "speedup": 1.83,
                "size": 74_000_000,
                "rss": 540_000_000,
            },
        ),
        (
            "w2/3-fp32",
            {
                "accuracy": 0.9448,
                "flagged": 0.9391,
                "speedup": 2.21,
                "size": 61_000_000,
                "rss": 505_000_000,
            },
        ),
        (
            "full-int8",
            {
                "accuracy": 0.9460,
                "flagged": 0.9399,
                "speedup": 3.41,
                "size": 27_000_000,
                "rss": 331_000_000,
                "precision": "int8",
                "architecture": _FULL,
            },
        ),
        (
            "full-bf16",
            {
                "accuracy": 0.9464,
                "flagged": 0.9402,
                "speedup": 4.05,
                "size": 52_000_000,
                "rss": 420_000_000,
                "precision": "bf16",
                "engine": "openvino",
            },
        ),
        (
            "w3/4-int8",
            {
                "accuracy": 0.9456,
                "flagged": 0.9390,
                "speedup": 4.76,
                "size": 19_800_000,
                "rss": 302_000_000,
                "precision": "int8",
            },
        ),
        (
            "w2/3-int8",
            {
                "accuracy": 0.9447,
                "flagged": 0.9388,
                "speedup": 7.38,
                "size": 15_600_000,
                "rss": 288_000_000,
                "precision": "int8",
                "engine": "openvino",
            },
        ),
        (
            "w1/2-bf16",
            {
                "accuracy": 0.9391,
                "flagged": 0.9287,
                "speedup": 8.3,
                "size": 30_100_000,
                "rss": 350_000_000,
                "precision": "bf16",
                "engine": "openvino",
                "refused": too_low,
            },
        ),
        (
            "w1/2-int8",
            {
                "accuracy": 0.9378,
                "flagged": 0.9264,
                "speedup": 10.9,
                "size": 11_900_000,
                "rss": 271_000_000,
                "precision": "int8",
                "engine": "openvino",
                "refused": too_low,
            },
        ),
        (
            "w1/4-int8",
            {
                "accuracy": 0.8611,
                "flagged": 0.8105,
                "speedup": 14.2,
                "size": 8_200_000,
                "rss": 260_000_000,
                "precision": "int8",
                "engine": "openvino",
                "refused": too_low,
            },
        ),
        (
            "full-bf16-torch",
            {
                "accuracy": 0.9464,
                "flagged": 0.9402,
                "speedup": 0.91,
                "size": 104_000_000,
                "precision": "bf16",
                "engine": "torch",
                "refused": "not faster than the original on this machine",
            },
        ),
        (
            "w3/4-bf16-x",
            {
                "engine": "openvino",
                "precision": "bf16",
                "predicted": 3.2,
                "refused": "parity: 3 of 64 labels differ from its own torch form",
            },
        ),
    ]
    return [_candidate(name, place) for name, place in rows]


def _floors() -> list[dict[str, Any]]:
    names = ("expr", "verdict", "original", "value", "limit", "interval", "rows_needed", "reason")
    rows: list[tuple[Any, ...]] = [
        (
            "flagged_recall>=99.5%",
            "holds",
            0.9411,
            0.9404,
            0.9364,
            [0.9372, 0.9430],
            None,
            "5 of 3388 lost, 3 gained; at most 0.41 % is lost",
        ),
        (
            "accuracy>=99.5%",
            "unproven",
            0.9462,
            0.9445,
            0.9415,
            [0.9403, 0.9472],
            11_400,
            "21 of 5677 lost, 11 gained; the sample cannot rule out a loss of 0.62 %",
        ),
        (
            "recall[spam]>=0.92",
            "holds",
            0.9431,
            0.9388,
            0.92,
            [0.9263, 0.9493],
            None,
            "the interval over 1720 rows lies above",
        ),
        (
            "flag_rate<=105%",
            "holds",
            0.3102,
            0.3118,
            0.3257,
            [0.3096, 0.3140],
            None,
            "at most 1.2 % more is flagged",
        ),
    ]
    counts = [(3388, 5, 3), (5677, 21, 11), (1622, 12, 5), (1861, 4, 14)]
    return [
        {
            **dict(zip(names, row, strict=True)),
            "kind": "thinfer.verdict",
            "version": 1,
            **dict(zip(("trials", "losses", "gains"), count, strict=True)),
        }
        for row, count in zip(rows, counts, strict=True)
    ]


def _ends() -> dict[str, Any]:
    candidates = {item["name"]: item for item in _candidates()}
    chosen = {**candidates["w2/3-int8"], "metrics": _metrics(0.9445, 0.9404, 6000)}
    original = {
        **_candidate(
            "original",
            {
                "accuracy": 0.9466,
                "flagged": 0.9403,
                "speedup": 1.0,
                "size": 148_000_000,
                "rss": 702_000_000,
                "architecture": _FULL,
            },
        ),
        "metrics": _metrics(0.9462, 0.9411, 6000),
    }
    baseline = {
        **_candidate(
            "transformers",
            {
                "accuracy": 0.9466,
                "flagged": 0.9403,
                "speedup": 0.78,
                "size": 139_000_000,
                "rss": 1_240_000_000,
                "engine": "transformers",
                "architecture": _FULL,
            },
        ),
        "metrics": _metrics(0.9462, 0.9411, 6000),
    }
    return {"original": original, "chosen": chosen, "baseline": baseline}


def _step(
    step: str, outcome: str, reason: str = "", details: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"step": step, "outcome": outcome, "reason": reason, "details": details or {}}


def _extras() -> dict[str, Any]:
    return {
        "factors": [
            {"name": "length handling", "factor": 1.32, "detail": "short texts are run together"},
            {"name": "engine", "factor": 1.21, "detail": "onnxruntime → openvino"},
            {"name": "precision", "factor": 2.31, "detail": "fp32 → int8"},
            {"name": "vocabulary", "factor": 0.998, "detail": "21,128 → 9,412 rows"},
            {"name": "depth", "factor": 1.08, "detail": "one attention block left out"},
            {"name": "width", "factor": 1.857, "detail": "heads and neurons at 2/3"},
        ],
        "steps": [
            _step("prune_vocabulary", "applied", "", {"rows_before": 21_128, "rows_after": 9_412}),
            _step("prune", "applied", "", {"width": 0.6667, "scores": [0.1, 0.2]}),
            _step("refit", "degraded", "layer 5 was left as it was: its system is singular"),
            _step("reduce_rank", "refused", "no head has a spectrum that falls fast enough"),
        ],
        "warnings": [
            "One class, 'normal', holds 69 % of the test rows.",
            "The host gave two threads the work of one in 2 of 40 timing rounds.",
        ],
        "command": "thinfer compress teacher --train train.csv --dev dev.csv --test test.csv "
        "--normal-label normal --floor 'flagged_recall>=99.5%' "
        "--floor 'accuracy>=99.5%' --out moderation --seed 0",
        "machine": {
            "cpu": "Example CPU 3000 @ 2.4 GHz",
            "cores": 2,
            "memory_bytes": 8_300_000_000,
            "flags": ["avx2", "avx512f", "avx512_vnni", "amx_int8"],
            "kernel": "6.1",
            "python": "3.11.7",
            "probe_dropped": 2,
            "libraries": {"onnxruntime": "1.31.0", "openvino": "2026.4.0"},
        },
        "data": {
            "train": 24_000,
            "dev": 2_000,
            "test": 6_000,
            "leaked": 14,
            "dropped": 3,
            "test_digest": "5e1b0c9a77d2" * 5,
            "judgements": 1,
        },
        "linear": {
            "name": "hashed n-grams, linear",
            "metrics": _metrics(0.9011, 0.8720, 6000),
            "texts_per_second": 41_000.0,
            "size_bytes": 3_100_000,
        },
        "textcnn": {
            "name": "TextCNN, distilled",
            "metrics": _metrics(0.9304, 0.9107, 6000),
            "missed_on_dev": ["accuracy>=99.5%"],
            "texts_per_second": 12_000.0,
            "size_bytes": 3_600_000,
        },
        "vocabulary": {
            "rows": {"before": 21_128, "after": 9_412},
            "bytes": {"before": 32_452_608, "after": 14_456_832},
            "unknown_rate": {"before": 0.0004, "after": 0.0005},
        },
    }


def _classes(names: tuple[str, ...], *, rows: int, floors: tuple[str, ...]) -> list[dict[str, Any]]:
    """Lines of invented answers: the further a label is down the list, the rarer."""
    rng, labels = np.random.default_rng(0), LabelSet(names, normal=names[0])
    chances = 1.0 / np.arange(1, len(names) + 1) ** 1.5
    truth = rng.choice(len(names), size=rows, p=chances / chances.sum())
    original = np.where(rng.random(rows) < 0.94, truth, rng.integers(0, len(names), rows))
    chosen = np.where(rng.random(rows) < 0.005, rng.integers(0, len(names), rows), original)
    sources = rng.integers(0, 4, rows)
    return describe_classes(
        truth=truth,
        original=original,
        chosen=chosen,
        labels=labels,
        floors=[parse_floor(expr, labels) for expr in floors],
        slices={"source=comment": sources > 0, "source=<b>post": sources == 0},
    )


def _confidence() -> dict[str, Any]:
    figures: dict[str, Any] = {"label": None, "ece_by_chance": 0.0048, "rows": 6000, "labels": []}
    examples = [
        {
            "row": 17 * place + 3,
            "kind": kind,
            "truth": "spam",
            "original": "normal" if kind == "gain" else "spam",
            "original_score": 0.55 + 0.004 * place,
            "chosen": "spam" if kind == "gain" else "abuse",
            "chosen_score": 0.99 - 0.01 * place,
        }
        for place, kind in enumerate(["loss"] * 24 + ["gain"] * 11)
    ]
    return {
        "calibration": {
            "original": {**figures, "ece": 0.0213, "nll": 0.171, "temperature": 1.27},
            "chosen": {**figures, "ece": 0.0198, "nll": 0.174, "temperature": 1.24},
        },
        "disagreements": {
            "rows": 6000,
            "total": 61,
            "losses": 37,
            "gains": 20,
            "others": 4,
            "examples": examples,
        },
        "judgements": [
            {"test_digest": "5e1b0c9a77d2" * 5, "n": 6000, "verdict": "unproven", "by": "compress"},
            {"test_digest": "another", "n": 10, "verdict": "holds", "by": "tune"},
        ],
    }


def wordy_result(count: int = 200) -> dict[str, Any]:
    """Give the invented result of a model with so many labels, two slices beside."""
    names = tuple(f"a topic with a rather long name {place}" for place in range(count))
    lines = _classes(names, rows=20_000, floors=("accuracy>=99.5%",))
    return {**sample_result(), "classes": lines}


def sample_result() -> dict[str, Any]:
    """Give a fresh copy of the invented result, as `json.loads` would."""
    return {
        "bundle": "moderation",
        "version": "0123456789ab",
        "verdict": "unproven",
        "floors": _floors(),
        **_ends(),
        "speedup": 7.38,
        "latency_ratio": 6.64,
        "candidates": _candidates(),
        "seconds": 512.0,
        **_extras(),
        **_confidence(),
        "classes": _classes(_LABELS, rows=6000, floors=tuple(item["expr"] for item in _floors())),
    }


def crowded_result(count: int = 100) -> dict[str, Any]:
    """Give the invented result with so many configurations that were dropped early."""
    result = sample_result()
    names = [f"drop-{place % 4}-width-{place}-100" for place in range(1, count + 1)]
    for place, name in enumerate(names):
        rung = place % 3
        result["candidates"].append(
            {
                **_candidate(name, {"accuracy": 0.95 - 0.0007 * place}),
                "engine": None,
                "precision": None,
                "rung": rung,
                "dev_rows": (222, 666, 2000)[rung],
                "original_dev_metrics": _metrics(0.95, 0.95, 222),
                "predicted_speedup": 1.2 + 0.11 * place,
                "refused": f"dropped after rung {rung}: others promised more speed",
            }
        )
    return result

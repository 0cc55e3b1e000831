"""The model card of a bundle: what it is, what was promised, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["write_card"]


def write_card(result: Mapping[str, Any]) -> str:
    """Give the card as Markdown, from the result of `compress`.

    Args:
        result: the JSON of `compress --json`.
    """
    chosen, original = result["chosen"], result["original"]
    kept = chosen.get("kept_fp32")
    head = ["# Text classifier, compressed by thinfer", ""]
    if result["is_best_so_far"]:
        head += ["**Best so far**: no candidate holds the quality floor.", ""]
    lines = [
        *head,
        f"Verdict on {result['data']['test']:,} test rows: **{result['verdict']}**.",
        "",
        "| floor | original | this bundle | verdict |",
        "|---|---|---|---|",
        *(
            f"| `{floor['expr']}` | {_figure(floor['original'])} | {_figure(floor['value'])} "
            f"| {floor['verdict']} |"
            for floor in result["floors"]
        ),
        "",
        "| | original (ONNX Runtime FP32) | this bundle |",
        "|---|---|---|",
        f"| form | {original['name']} | {chosen['name']} |",
        f"| accuracy on test | {_figure(original['metrics']['accuracy'])} "
        f"| {_figure(chosen['metrics']['accuracy'])} |",
        f"| texts per second, {result['threads']} threads "
        f"| {original['texts_per_second']:,.0f} | {chosen['texts_per_second']:,.0f} |",
        f"| one text, median | {original['latency_ms']:.2f} ms | {chosen['latency_ms']:.2f} ms |",
        f"| size | {original['size_bytes'] / 1e6:.1f} MB | {chosen['size_bytes'] / 1e6:.1f} MB |",
        *([f"| blocks left in FP32 | - | {', '.join(kept)} |"] if kept else []),
        "",
        "Measured on the machine that `manifest.json` names; run `thinfer tune` on another one.",
        "",
    ]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

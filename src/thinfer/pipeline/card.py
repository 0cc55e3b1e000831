"""The model card of a bundle: what it is, what was promised, what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from thinfer.pipeline.report.promise import PlainWords, say_plainly

__all__ = ["write_card"]

_MARKS = re.compile(r"[\\`*_{}\[\]<>|#&~]")


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
        *_tell(say_plainly(result)),
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


def _tell(words: PlainWords) -> list[str]:
    """Give the verdict in sentences, one paragraph a part."""
    parts = (
        ("Promised", words.promised),
        ("Measured", words.measured),
        ("Proven", words.proven),
        ("Not proven", words.open),
        ("Broken", words.broken),
        ("What proof would take", words.needed),
        ("Risk of the choice", words.risk),
    )
    lines = []
    for title, sentences in parts:
        if sentences:
            lines += [f"**{title}.** {_escape(' '.join(sentences))}", ""]
    return lines


def _escape(text: str) -> str:
    """Give text that Markdown shows as it is: a label may hold anything."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split()))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

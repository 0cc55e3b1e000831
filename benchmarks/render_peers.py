"""The sections on peers that train a smaller model, and on INT8 by other tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.tables import Body, facts, interval, mega, number, percent, table, times

__all__ = ["render_quantise", "render_students"]


def render_students(results: Body) -> list[str]:
    """Give the section on distilled students.

    Args:
        results: set → what `benchmarks.students` stored.
    """
    parts = [facts(results)]
    for key, body in results.items():
        dense = f"{number(body['rows'])} test rows, dense {percent(body['dense_accuracy'])}"
        title = f"{dense}, epochs: {body['epochs']}, speed in {body['engine']}"
        parts.append(f"### {key}: {title}\n")
        parts.append(table(_STUDENT_HEAD, [_student_row(state) for state in body["states"]]))
        parts.append("\n".join(_tell_dynabert(body["dynabert"])) + "\n")
    return parts


_STUDENT_HEAD = (
    "method", "at the speed of", "measured ×", "FP32 ×", "accuracy", "kept", "lost", "gained",
)  # fmt: skip


def _student_row(state: Body) -> tuple[str, ...]:
    return (
        state["method"],
        "" if state["method"] == state["beside"] else state["beside"],
        times(state["measured"]),
        times(state["measured_fp32"]),
        percent(state["accuracy"]),
        percent(state["kept"]),
        str(state["lost"]),
        str(state["gained"]),
    )


def _tell_dynabert(outcome: Body) -> list[str]:
    if "absent" in outcome:
        return [f"PaddleNLP `compress`: not run: {outcome['absent']}."]
    lines = [_tell_attempt("as published", outcome, outcome["as_published"])]
    if "repaired" in outcome:
        lines.append(_tell_attempt("repaired", outcome, outcome["repaired"]))
        lines += [f"- repair: {each}" for each in outcome["repairs"]]
    last = outcome.get("repaired") or outcome["as_published"]
    lines += [_tell_sizes(name, sizes) for name, sizes in last.items() if name.startswith("bytes ")]
    if "max_abs_to_paddle" in outcome:
        distance = f"{outcome['max_abs_to_paddle']:.1e}"
        lines.append(f"- our logits of its weights to Paddle's own on test: max abs Δ {distance}")
    if "newest" in outcome:
        newest = outcome["newest"]
        lines.append(_tell_attempt("as published", newest, newest["as_published"]))
    return lines


def _tell_attempt(name: str, outcome: Body, attempt: Body) -> str:
    versions = ", ".join(f"{key} {value}" for key, value in outcome["versions"].items())
    said = f"`{attempt['error']}` in {attempt['stage']}" if attempt["error"] else "ran"
    spent = f", {attempt['seconds'] / 60:.1f} min" if "seconds" in attempt else ""
    return f"- PaddleNLP `compress`, {name} ({versions}): {said}{spent}; `{outcome['command']}`"


def _tell_sizes(name: str, sizes: Mapping[str, Any]) -> str:
    own, exported = sizes["weights"], sizes["exported by the library"]
    return (
        f"- width {name.partition(' ')[2]}: {mega(own)} of weights; the library's own export of it "
        f"has {mega(exported)}"
    )


def render_quantise(results: Body) -> list[str]:
    """Give the section on INT8 by other tools.

    Args:
        results: set → what `benchmarks.quantise` stored.
    """
    parts = [facts(results)]
    head = (
        "form", "engine", "× original", "interval", "accuracy", "kept", "lost", "gained",
        "same labels", "size",
    )  # fmt: skip
    for key, body in results.items():
        rows = [
            (
                form["name"],
                form["engine"],
                times(form["ratio"]["ratio"]),
                interval((form["ratio"]["low"], form["ratio"]["high"])),
                percent(form["accuracy"]),
                percent(form["kept"]),
                str(form["lost"]),
                str(form["gained"]),
                percent(form["agreement"]),
                mega(form["size_bytes"]),
            )
            for form in body["forms"]
        ]
        told = f"{number(body['rows'])} test rows, {body['calibration']} texts to calibrate on"
        parts += [f"### {key}: {told}\n", table(head, rows)]
        parts += [f"- {one['name']} failed: {one['reason']}\n" for one in body["failed"]]
    return parts

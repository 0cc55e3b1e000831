"""`thinfer demo`: the main job on a generated corpus, without downloads."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinfer.cli.output import Output, format_table
from thinfer.errors import QualityError

if TYPE_CHECKING:
    from thinfer.pipeline.demo import Demo

__all__ = ["command", "describe_result"]

# The service runs on the Python of this process, wherever the script `thinfer` is.
SERVE = (
    sys.executable,
    "-c",
    "from thinfer.cli.main import main; raise SystemExit(main())",
    "serve",
)


def command(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of corpus, training and compression.")] = 0,
    *,
    output: Output,
) -> None:
    """Generate a corpus, train a classifier, compress it, serve it and ask it one question.

    Nothing is downloaded. The bundle is OUT/bundle, its report OUT/bundle/report.html.
    """
    from thinfer.core.clock import SystemClock
    from thinfer.pipeline.demo import DemoRequest, run_demo

    request = DemoRequest(out=out, serve=SERVE, seed=seed)
    demo = run_demo(request, progress=output.progress, clock=SystemClock())
    body = {
        **demo.compression.result,
        "question": demo.question,
        "answer": demo.answer,
    }
    output.result(body, lambda: _describe(demo, out))
    _require_floor(demo, out)


def _require_floor(demo: Demo, out: Path) -> None:
    """End with an error where the floor is broken, or no candidate cleared it on `dev`."""
    if demo.compression.verdict == "broken" or not demo.compression.is_cleared:
        what = "the compressed model does not hold its floor"
        raise QualityError(what, got=demo.compression.verdict, do=f"read {out}/bundle/report.html")


def _describe(demo: Demo, out: Path) -> str:
    answer = demo.answer
    lines = [
        describe_result(demo.compression.result),
        "",
        f"asked the service   {demo.question}",
        f"it answered         {answer.get('result')}  ({answer.get('probability', 0.0):.3f}, "
        f"version {answer.get('version')})",
        "",
        f"the report          {out / 'bundle' / 'report.html'}",
        f"serve it again      thinfer serve {out / 'bundle'}",
    ]
    return "\n".join(lines)


def describe_result(result: Mapping[str, Any]) -> str:
    """Give the before/after table and the verdicts as plain text.

    Args:
        result: of `compress --json`.

    Returns:
        Several lines; a figure that is absent is shown as `-`.
    """
    before, after = result["original"], result["chosen"]
    rows = [
        (name, _cell(before, field, form), _cell(after, field, form))
        for name, field, form in (
            ("accuracy on test", "metrics.accuracy", "{:.4f}"),
            ("flagged recall on test", "metrics.flagged_recall", "{:.4f}"),
            ("texts a second", "texts_per_second", "{:,.0f}"),
            ("one text, ms", "latency_ms", "{:.2f}"),
            ("size to run, MB", "size_bytes", "{:,.1f}"),
            ("peak memory, MB", "peak_rss_bytes", "{:,.0f}"),
            ("engine", "engine", "{}"),
            ("precision", "precision", "{}"),
        )
    ]
    speedup = result.get("speedup")
    head = "after" if not speedup else f"after ({speedup:.1f} times as fast)"
    floors = [
        (floor["expr"], floor["verdict"], floor.get("reason", ""))
        for floor in result.get("floors", ())
    ]
    parts = [format_table(("", "before", head), rows)]
    if floors:
        parts.append(format_table(("floor", "verdict", "why"), floors))
    return "\n\n".join(parts)


def _cell(row: Mapping[str, Any], field: str, form: str) -> str:
    value: Any = row
    for key in field.split("."):
        value = (value or {}).get(key)
    if value is None:
        return "-"
    return form.format(value / 1e6 if field.endswith("_bytes") else value)

"""`thinfer verify`: every byte of a bundle, and every engine that can run here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinfer.cli.output import Output, format_table

if TYPE_CHECKING:
    from thinfer.bundle import Bundle

__all__ = ["command"]


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    *,
    engine: Annotated[
        str | None, typer.Option(help="Only this engine; else all of the bundle.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one engine call.")] = None,
    output: Output,
) -> None:
    """Check every byte of a bundle, and run its self-test.

    The self-test runs on each engine of the bundle. One that is not installed here is skipped
    and named, unless it is the chosen one or was asked for.
    """
    from thinfer.bundle import open_bundle

    opened = open_bundle(bundle)
    names = [engine] if engine else [entry.name for entry in opened.manifest.engines]
    rows = [_check(opened, name, is_asked=engine is not None, threads=threads) for name in names]
    body = {
        "bundle": str(opened.path),
        "bundle_version": opened.version,
        "ok": True,
        "files": len(opened.manifest.files),
        "engines": rows,
    }
    output.result(body, lambda: _describe(body))


def _check(
    bundle: Bundle, name: str, *, is_asked: bool, threads: int | None
) -> dict[str, str | float | None]:
    """Run the self-test on one engine, or say why it was skipped."""
    from thinfer.classifier import Classifier
    from thinfer.engine import available_engines, check_golden

    is_needed = is_asked or bundle.engine(name).chosen
    reason = available_engines().get(name)
    if reason is not None and not is_needed:
        return {"name": name, "max_difference": None, "skipped": reason}
    with Classifier.open(bundle, engine=name, threads=threads) as classifier:
        difference = check_golden(bundle, classifier.engine)
    return {"name": name, "max_difference": difference, "skipped": None}


def _describe(body: Mapping[str, Any]) -> str:
    table = format_table(
        ("engine", "max difference", "skipped"), [tuple(row.values()) for row in body["engines"]]
    )
    return f"{body['bundle']} is whole: {body['files']} files\n\n{table}"

"""`thinfer verify`: every byte of a bundle, and every engine that can run here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thinfer.cli.output import Output, format_table

__all__ = ["command"]


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    engine: Annotated[
        str | None, typer.Option(help="Only this engine; else all of the bundle.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one engine call.")] = None,
    *,
    output: Output,
) -> None:
    """Check every byte of a bundle, and run its self-test.

    The self-test runs on each engine of the bundle. One that is not installed here is skipped
    and named, unless it is the chosen one or was asked for.
    """
    from thinfer.bundle import open_bundle
    from thinfer.classifier import Classifier
    from thinfer.engine import available_engines, check_golden

    opened = open_bundle(bundle)
    missing = available_engines()
    names = [engine] if engine else [entry.name for entry in opened.manifest.engines]
    rows: list[dict[str, Any]] = []
    for name in names:
        is_needed = engine is not None or opened.engine(name).chosen
        reason = missing.get(name)
        difference = None
        if is_needed or reason is None:
            with Classifier.open(opened, engine=name, threads=threads) as classifier:
                difference = check_golden(opened, classifier.engine)
        rows.append({"name": name, "max_difference": difference, "skipped": reason})
    body = {
        "bundle": str(opened.path),
        "bundle_version": opened.version,
        "ok": True,
        "files": len(opened.manifest.files),
        "engines": rows,
    }

    def describe() -> str:
        table = format_table(
            ("engine", "max difference", "skipped"),
            [(row["name"], row["max_difference"], row["skipped"]) for row in rows],
        )
        return f"{opened.path} is whole: {len(opened.manifest.files)} files\n\n{table}"

    output.result(body, describe)

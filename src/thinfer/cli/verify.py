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
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Compute the verdict again from the evidence.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="The test file: its rows and truths are compared too.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Name of the label column.")] = None,
    output: Output,
) -> None:
    """Check every byte of a bundle, and run its self-test.

    The self-test runs on each engine of the bundle. One that is not installed here is skipped
    and named, unless it is the chosen one or was asked for. With --evidence every figure of the
    verdict is computed again from the rows that it rests on.

    Raises:
        UserError: --data without --evidence.
    """
    from thinfer.bundle import open_bundle
    from thinfer.errors import UserError

    if data is not None and not evidence:
        what = "--data is the test file of the evidence"
        raise UserError(what, do="add --evidence, or leave --data out")
    opened = open_bundle(bundle)
    proof = _prove(opened, data, text_column, label_column) if evidence else None
    names = [engine] if engine else [entry.name for entry in opened.manifest.engines]
    rows = [_check(opened, name, is_asked=engine is not None, threads=threads) for name in names]
    body = {
        "bundle": str(opened.path),
        "bundle_version": opened.version,
        "ok": True,
        "files": len(opened.manifest.files),
        "engines": rows,
        "evidence": proof,
    }
    output.result(body, lambda: _describe(body))


def _prove(
    bundle: Bundle, data: Path | None, text_column: str | None, label_column: str | None
) -> dict[str, Any]:
    from thinfer.pipeline.reproof import verify_evidence
    from thinfer.text.corpus import read_corpus
    from thinfer.text.label_sets import choose_separator

    corpus = None
    if data is not None:
        several = bundle.manifest.label_set.is_multi_label
        corpus = read_corpus(
            data,
            text_column=text_column,
            label_column=label_column,
            label_separator=choose_separator(None, is_multi_label=several),
        )
    return verify_evidence(bundle, corpus)


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
    told = f"{body['bundle']} is whole: {body['files']} files\n\n{table}"
    proof = body["evidence"]
    if proof is None:
        return told
    of = " of the test file" if proof["is_data_checked"] else ""
    return (
        f"{told}\n\nverdict {proof['verdict']}: {proof['figures']} figures come out the same, "
        f"computed from {proof['rows']} rows{of}"
    )

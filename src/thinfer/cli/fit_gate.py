"""`thinfer fit-gate`: a cheap first look that learns the answers of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thinfer.cli.output import Output

__all__ = ["command"]


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle whose answers are learned.")],
    train: Annotated[Path, typer.Option(help="Text; labels are not looked at.")],
    out: Annotated[Path, typer.Option(help="The gate file.")] = Path("gate.safetensors"),
    widths: Annotated[
        str, typer.Option(help="Characters of the n-grams that must all be known.")
    ] = "1,2",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one call.")] = None,
    seed: Annotated[int, typer.Option(help="Of the solver's order.")] = 0,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    *,
    output: Output,
) -> None:
    """Fit a linear model on hashed n-grams that may answer before a bundle.

    `thinfer calibrate-cascade GATE --to BUNDLE` says how sure it must be.

    Raises:
        UserError: the widths are no numbers of characters.
    """
    from thinfer.errors import UserError
    from thinfer.pipeline.gate import fit_gate
    from thinfer.text.corpus import read_corpus

    parts = [part.strip() for part in widths.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 8 for part in parts):
        what = "the widths of the n-grams make no sense"
        raise UserError(what, expected="numbers 1 … 8, for example 1,2", got=widths)
    corpus = read_corpus(train, text_column=text_column, need_labels=False)
    gate = fit_gate(
        bundle,
        corpus,
        seed=seed,
        threads=threads,
        progress=output.progress,
        widths=tuple(sorted({int(part) for part in parts})),
    )
    digest = gate.write(out)
    result = {"gate": str(out), "digest": digest, "n": len(corpus), "widths": gate.facts.widths}
    output.result(result, f"written: {out}, from {len(corpus):,} texts")

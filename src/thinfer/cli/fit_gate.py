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
    widths: Annotated[str, typer.Option(help="Characters of the n-grams that count.")] = "1,2",
    known: Annotated[
        str | None,
        typer.Option(help="Those that must all stand in the text it learned from. [--widths]"),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one call.")] = None,
    seed: Annotated[int, typer.Option(help="Of the solver's order.")] = 0,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    *,
    output: Output,
) -> None:
    """Fit a linear model on hashed n-grams that may answer before a bundle.

    `thinfer calibrate-cascade GATE --to BUNDLE` says how sure it must be.
    """
    from thinfer.pipeline.gate import fit_gate
    from thinfer.text.corpus import read_corpus

    corpus = read_corpus(train, text_column=text_column, need_labels=False)
    gate = fit_gate(
        bundle,
        corpus,
        seed=seed,
        threads=threads,
        progress=output.progress,
        widths=_read_widths(widths),
        known=_read_widths(known or widths),
    )
    digest = gate.write(out)
    facts = {"widths": gate.facts.widths, "known": gate.facts.known}
    result = {"gate": str(out), "digest": digest, "n": len(corpus), **facts}
    output.result(result, f"written: {out}, from {len(corpus):,} texts")


def _read_widths(text: str) -> tuple[int, ...]:
    """Read numbers of characters.

    Raises:
        UserError: one is no number, or out of range.
    """
    from thinfer.errors import UserError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 1 <= int(part) <= 8 for part in parts):
        what = "the widths of the n-grams make no sense"
        raise UserError(what, expected="numbers 1 … 8, for example 1,2", got=text[:40])
    return tuple(sorted({int(part) for part in parts}))

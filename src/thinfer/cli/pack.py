"""`thinfer pack`: checkpoint → bundle, nothing removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thinfer.cli.output import Output

__all__ = ["command"]


def command(
    model: Annotated[str, typer.Argument(help="A checkpoint directory or a hub name.")],
    out: Annotated[Path, typer.Option(help="The bundle's folder.")],
    precision: Annotated[str, typer.Option(help="fp32, bf16 or int8.")] = "fp32",
    engine: Annotated[str, typer.Option(help="The engine that the bundle chooses.")] = (
        "onnxruntime"
    ),
    calibrate: Annotated[
        Path | None, typer.Option(help="Text that fixes the input ranges of INT8.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one call.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    normal_label: Annotated[str | None, typer.Option(help="The label that is no finding.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="Like spam=0.8: answered from so high a score.")
    ] = None,
    priority: Annotated[
        str | None, typer.Option(help="Like violence,spam: which threshold is looked at first.")
    ] = None,
    *,
    output: Output,
) -> None:
    """Write a bundle that answers as the checkpoint does.

    Raises:
        UserError: the precision is none that a bundle can have.
    """
    from thinfer.errors import UserError
    from thinfer.pipeline.pack import PackRequest, pack
    from thinfer.text.corpus import read_corpus

    if precision not in ("fp32", "bf16", "int8"):
        what = "the precision is not known"
        raise UserError(what, expected="fp32, bf16 or int8", got=precision)
    corpus = None
    if calibrate is not None:
        corpus = read_corpus(calibrate, text_column=text_column, need_labels=False)
    request = PackRequest(
        model=model,
        out=out,
        engine=engine,
        precision=precision,  # type: ignore[arg-type]  # checked above
        calibrate=corpus,
        normal_label=normal_label,
        thresholds=tuple(threshold or ()),
        priority=priority,
        threads=threads,
    )
    _, result = pack(request, progress=output.progress)
    size = result["size_bytes"] / 2**20
    output.result(
        result,
        f"{result['bundle']}: version {result['version']}, {result['engine']} "
        f"{result['precision']}, {size:.1f} MiB read by the engine",
    )

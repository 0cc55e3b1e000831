"""`thinfer tune`: the fastest engine on this machine, measured and proved again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thinfer.cli.output import Output, format_table
from thinfer.cli.remembered import LOG_HELP, find_judgement_log

__all__ = ["command"]


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle; rewritten unless a floor breaks.")],
    test: Annotated[Path, typer.Option(help="The test file that the bundle was judged on.")],
    calibrate: Annotated[
        Path | None, typer.Option(help="Text that fixes the input ranges of INT8.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one call.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Name of the label column.")] = None,
    label_separator: Annotated[
        str | None, typer.Option(help="Between the labels of a cell; '|' by default.")
    ] = None,
    judgement_log: Annotated[Path | None, typer.Option(help=LOG_HELP)] = None,
    *,
    output: Output,
) -> None:
    """Measure the engines again on this machine, choose the fastest, prove the floors again.

    Raises:
        QualityError: the fastest engine here breaks a floor.
    """
    from thinfer.core.clock import SystemClock
    from thinfer.errors import QualityError
    from thinfer.pipeline.judge_again import list_slice_columns
    from thinfer.pipeline.label_reading import separator_of_model
    from thinfer.pipeline.tune import TuneRequest, tune
    from thinfer.text.corpus import read_corpus

    request = TuneRequest(
        bundle=bundle,
        test=read_corpus(
            test,
            text_column=text_column,
            label_column=label_column,
            columns=list_slice_columns(bundle),
            label_separator=separator_of_model(bundle, label_separator),
        ),
        calibrate=None
        if calibrate is None
        else read_corpus(calibrate, text_column=text_column, need_labels=False),
        threads=threads,
        judgement_log=find_judgement_log(judgement_log),
    )
    result = tune(request, progress=output.progress, clock=SystemClock())
    rows = [
        (item["name"], item["texts_per_second"], item["agreement"], item["refused"])
        for item in result["candidates"]
    ]
    table = format_table(("form", "texts per second", "agreement", "refused"), rows)
    notes = "".join(f"note: {text}\n" for text in result["warnings"])
    chosen = f"chosen {result['chosen']['name']}, verdict {result['verdict']}"
    output.result(result, f"{table}\n\n{notes}{chosen}")
    if result["verdict"] == "broken":
        what = "the fastest engine here breaks a floor; the bundle was left as it is"
        raise QualityError(what, do="serve it with its stored engine, or compress on this machine")

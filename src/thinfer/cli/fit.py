"""`thinfer fit`: fine-tune a checkpoint, or train a preset on the text at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thinfer.cli.output import Output

__all__ = ["command"]


def command(
    model: Annotated[str, typer.Argument(help="Checkpoint, hub name, or a preset's name.")],
    train: Annotated[Path, typer.Option(help="Labelled text to learn from.")],
    dev: Annotated[Path, typer.Option(help="Labelled text that chooses the epoch.")],
    out: Annotated[Path, typer.Option(help="Directory of the trained checkpoint.")],
    epochs: Annotated[int, typer.Option(help="Most passes over the training text.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Rows of a step.")] = 32,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak; by default 5e-5, for a preset 5e-4.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Longest text in tokens; kept with the model.")
    ] = None,
    vocabulary: Annotated[int, typer.Option(help="Most tokens a preset learns.")] = 12_000,
    teacher: Annotated[
        str | None, typer.Option(help="A larger model with the same labels to learn from.")
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="More text, for the teacher to answer.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop training after so long.")] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Name of the label column.")] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="A text may have several labels, or none.")
    ] = False,
    label_separator: Annotated[
        str | None, typer.Option(help="Between the labels of a cell; '|' with --multi-label.")
    ] = None,
    *,
    output: Output,
) -> None:
    """Train a classifier; an interrupted run goes on when the command is repeated.

    Raises:
        UserError: the precision is none that training knows.
    """
    import math

    from thinfer.core.clock import SystemClock
    from thinfer.errors import UserError
    from thinfer.nn.train import TrainSettings
    from thinfer.pipeline.fit import FitRequest, fit

    if precision not in ("auto", "fp32", "bf16"):
        what = "the precision is not known"
        raise UserError(what, expected="auto, fp32 or bf16", got=precision)
    request = FitRequest(
        model=model,
        train=train,
        dev=dev,
        out=out,
        settings=TrainSettings(
            epochs=epochs,
            batch_size=batch_size,
            max_minutes=math.inf if minutes is None else minutes,
            precision=precision,  # type: ignore[arg-type]  # checked above
            seed=seed,
        ),
        learning_rate=learning_rate,
        max_length=max_length,
        vocabulary=vocabulary,
        teacher=teacher,
        unlabelled=unlabelled,
        text_column=text_column,
        label_column=label_column,
        is_multi_label=multi_label,
        label_separator=label_separator,
    )
    result = fit(request, progress=output.progress, clock=SystemClock())
    report = result["report"]
    if result["dropped"]:
        output.note(f"{result['dropped']} rows without a text were left out")
    if result["dev_in_train"]:
        output.note(f"{result['dev_in_train']} dev rows also stand in train")
    if result["leftovers"]:
        output.note(f"weights without a use here: {', '.join(result['leftovers'])}")
    several = result["problem_type"] == "multi_label"
    best = max(report["dev_micro_f1" if several else "dev_accuracy"], default=0.0)
    figure = "micro F1" if several else "accuracy"
    output.result(
        result,
        f"{result['out']}: {len(result['labels'])} labels, {figure} on dev {best:.4f} "
        f"(epoch {report['best_epoch']} of {report['epochs']}, {report['seconds']:.0f} s, "
        f"{report['precision']})",
    )

"""`thinfer evaluate`: quality of a checkpoint or a bundle on labelled text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thinfer.cli.output import Output, format_table

__all__ = ["command"]


def command(
    model: Annotated[str, typer.Argument(help="A bundle, a checkpoint or a hub name.")],
    data: Annotated[Path, typer.Option(help="Labelled text.")],
    engine: Annotated[str | None, typer.Option(help="An engine of the bundle.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one call.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Name of the label column.")] = None,
    label_separator: Annotated[
        str | None, typer.Option(help="Between the labels of a cell; '|' by default.")
    ] = None,
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
    """Answer labelled text and measure the answers."""
    from thinfer.pipeline.evaluate import evaluate
    from thinfer.pipeline.label_reading import separator_of_model
    from thinfer.text.corpus import read_corpus

    corpus = read_corpus(
        data,
        text_column=text_column,
        label_column=label_column,
        label_separator=separator_of_model(model, label_separator),
    )
    result = evaluate(
        model,
        corpus,
        engine=engine,
        normal_label=normal_label,
        thresholds=tuple(threshold or ()),
        priority=priority,
        threads=threads,
        progress=output.progress,
    )
    output.result(result, lambda: _describe(result))


def _describe(result: dict[str, Any]) -> str:
    metrics = result["metrics"]
    recall, precision = metrics["recall"], metrics["precision"]
    labels = list(dict.fromkeys([*recall, *precision]))
    rows = [(label, recall.get(label), precision.get(label)) for label in labels]
    head = f"{result['n']:,} rows, {result['engine']} {result['precision']}: "
    flagged = metrics["flagged_recall"]
    return "\n".join(
        [
            f"{head}accuracy {metrics['accuracy']:.4f}, macro F1 {metrics['macro_f1']:.4f}"
            + (f", flagged recall {flagged:.4f}" if flagged is not None else ""),
            f"unknown tokens {result['unknown_token_rate']:.4%}, texts cut {result['truncated']}",
            "",
            format_table(("label", "recall", "precision"), rows),
        ]
    )

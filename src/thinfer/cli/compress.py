"""`thinfer compress`: a smaller, faster bundle under a quality floor."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinfer.cli.output import Output, format_table
from thinfer.cli.remembered import LOG_HELP, find_judgement_log

if TYPE_CHECKING:
    from thinfer.pipeline.publish import Compression

__all__ = ["command", "describe_result", "require_verdict"]


def command(
    model: Annotated[str, typer.Argument(help="A checkpoint directory or a hub name.")],
    train: Annotated[Path, typer.Option(help="Labelled text: calibrates, covers, retrains.")],
    dev: Annotated[Path, typer.Option(help="Labelled text that chooses the candidate.")],
    test: Annotated[Path, typer.Option(help="Labelled text that judges the chosen one.")],
    out: Annotated[Path, typer.Option(help="The bundle's folder; work goes to OUT.work.")],
    floor: Annotated[
        list[str] | None, typer.Option(help="For example 'accuracy>=99.5%'; may be repeated.")
    ] = None,
    widths: Annotated[
        str | None, typer.Option(help="Encoder cost to keep, like 3/4,2/3,1/2; else found.")
    ] = None,
    speedups: Annotated[
        str | None, typer.Option(help="Like 1.5,2,4: to the dense form in the same engine.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="TOML file of steps that make one further state.")
    ] = None,
    latency_table: Annotated[
        Path | None, typer.Option(help="Prices of widths: read, or measured and written here.")
    ] = None,
    reduce_ranks: Annotated[
        bool, typer.Option("--reduce-ranks", help="Heads may get fewer dimensions too.")
    ] = False,
    retrain: Annotated[
        str, typer.Option(help="none, short (distil), full (in two cuts), adaptive (all widths).")
    ] = "none",
    augment: Annotated[
        int, typer.Option(help="Altered copies of each training text for --retrain to learn.")
    ] = 0,
    unlabelled: Annotated[
        Path | None, typer.Option(help="More text: the vocabulary covers it, --retrain learns.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Search everything, and end after so long.")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="auto, fp32, bf16 or int8; may be repeated.")
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="auto, or an engine's name; may be repeated.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one call.")] = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
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
    slice_column: Annotated[
        list[str] | None,
        typer.Option("--slice", help="A column of dev and test; quality is listed by its values."),
    ] = None,
    require_proof: Annotated[
        bool, typer.Option("--require-proof", help="A verdict 'unproven' fails (exit 4).")
    ] = False,
    include_text: Annotated[
        bool,
        typer.Option(
            "--include-text", help="Rows in the report that are answered differently show text."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from what an interrupted run left.")
    ] = False,
    judgement_log: Annotated[Path | None, typer.Option(help=LOG_HELP)] = None,
    *,
    output: Output,
) -> None:
    """Compress a classifier under a quality floor; dev chooses, test judges."""
    from thinfer.core.clock import SystemClock
    from thinfer.pipeline.recipe import read_recipe
    from thinfer.pipeline.request import CompressRequest, DataRequest, parse_speedups, parse_widths
    from thinfer.pipeline.run import compress

    request = CompressRequest(
        model=model,
        data=DataRequest(
            train=train,
            dev=dev,
            test=test,
            text_column=text_column,
            label_column=label_column,
            label_separator=label_separator,
            normal_label=normal_label,
            unlabelled=unlabelled,
            slices=tuple(slice_column or ()),
        ),
        out=out,
        floors=tuple(floor or ()),
        thresholds=tuple(threshold or ()),
        priority=priority,
        widths=parse_widths(widths) if widths else (),
        speedups=parse_speedups(speedups) if speedups else (),
        recipe=read_recipe(recipe) if recipe else None,
        latency_table=latency_table,
        reduce_ranks=reduce_ranks,
        retrain=retrain,  # type: ignore[arg-type]  # checked by the request
        augment=augment,
        precisions=tuple(precision or ("auto",)),
        engines=tuple(engine or ("auto",)),
        threads=threads,
        seed=seed,
        minutes=minutes,
        require_proof=require_proof,
        resume=resume,
        judgement_log=find_judgement_log(judgement_log),
        include_text=include_text,
        command=shlex.join(["thinfer", *sys.argv[1:]]),
    )
    done = compress(request, progress=output.progress, clock=SystemClock())
    output.result(done.result, lambda: describe_result(done.result))
    require_verdict(done, is_proof_required=require_proof)


def require_verdict(done: Compression, *, is_proof_required: bool) -> None:
    """Turn a verdict that is not good enough into exit code 4; the bundle stays.

    Raises:
        QualityError: the floor is broken, nothing cleared it on dev, or it is unproven where
            proof was required.
    """
    from thinfer.errors import QualityError

    broken = [floor["expr"] for floor in done.result["floors"] if floor["verdict"] == "broken"]
    kept = f"the best so far is kept in '{done.bundle.path}'"
    if done.verdict == "broken" or not done.is_cleared:
        what = "no candidate holds the quality floor"
        if done.is_cleared:
            what = f"the chosen candidate breaks {', '.join(broken)} on test"
        raise QualityError(
            what, do=f"lower the floor, try --retrain short, or bring more text; {kept}"
        )
    if is_proof_required and done.verdict == "unproven":
        rows = [floor["rows_needed"] for floor in done.result["floors"] if floor["rows_needed"]]
        what = "the floor is not broken, but not proven either"
        needed = f"about {max(rows):,} test rows" if rows else "more test rows"
        raise QualityError(what, expected=needed, do=f"bring a larger --test file; {kept}")


def describe_result(result: dict[str, Any] | Any) -> str:  # noqa: ANN401 - JSON
    """Give the before/after table of a compression for people.

    Args:
        result: the JSON of `compress --json`.
    """
    names = ("baseline", "original", "chosen")
    ends = [result[name] for name in names]
    rows: list[tuple[object, ...]] = [
        ("form", *(end["name"] for end in ends)),
        ("accuracy on test", *(end["metrics"]["accuracy"] for end in ends)),
        ("flagged recall on test", *(end["metrics"]["flagged_recall"] for end in ends)),
        ("texts per second", *(round(end["texts_per_second"]) for end in ends)),
        ("one text, ms", *(end["latency_ms"] for end in ends)),
        ("size, MB", *(end["size_bytes"] / 1e6 for end in ends)),
        ("peak memory, MB", *(end["peak_rss_bytes"] / 1e6 for end in ends)),
    ]
    if result["chosen"]["metrics"]["flagged_recall"] is None:
        rows.pop(2)
    floors = [
        (floor["expr"], floor["original"], floor["value"], floor["verdict"], floor["reason"])
        for floor in result["floors"]
    ]
    return "\n".join(
        [
            format_table(("", "transformers", "original", "this bundle"), rows),
            "",
            format_table(("floor", "original", "this bundle", "verdict", "why"), floors),
            "",
            *(f"note: {text}" for text in result["warnings"]),
            f"{result['speedup']:.1f} times the original's throughput, verdict "
            f"{result['verdict']}; bundle and report.html in {result['bundle']}",
        ]
    )

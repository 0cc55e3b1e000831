"""`thinfer audit`: does a floor still hold on traffic that nobody has labelled?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from thinfer.cli.output import Output, format_table

__all__ = ["command"]


def command(
    original: Annotated[
        str | None, typer.Argument(help="What was promised to be kept: a checkpoint or a bundle.")
    ] = None,
    bundle: Annotated[Path | None, typer.Argument(help="What answers in its place.")] = None,
    traffic: Annotated[Path | None, typer.Option(help="Texts of a later window.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the audit; texts are written nowhere else.")
    ] = Path("audit"),
    labels: Annotated[
        Path | None, typer.Option(help="The labelled file, to be judged; no model is run.")
    ] = None,
    floor: Annotated[
        list[str] | None, typer.Option(help="For example flagged_recall>=99.5%. Repeatable.")
    ] = None,
    sample: Annotated[
        int, typer.Option(help="Agreed rows to label for each floor, at most.")
    ] = 200,
    most: Annotated[
        int | None, typer.Option(help="Rows on which the two differ to label, at most.")
    ] = None,
    known_precision: Annotated[
        float | None, typer.Option(help="Lower bound of the original's precision on flags.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Labelled text to measure that precision on.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="An engine of the bundle.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one engine call.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the samples and the order.")] = 0,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Label column of --test.")] = None,
    normal_label: Annotated[str | None, typer.Option(help="The label that is no finding.")] = None,
    require_proof: Annotated[
        bool, typer.Option("--require-proof", help="A verdict 'unproven' fails (exit 4).")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with this audit.")] = False,
    *,
    output: Output,
) -> None:
    """Audit a bundle on unlabelled traffic: bound what it may lose, and judge a few labels.

    Writes OUT/to_label.csv: the rows on which the two models differ and a sample of those on
    which they agree, shuffled, without a word on who said what. Give it back with --labels.

    Raises:
        QualityError: a floor is broken, or unproven where proof was required.
    """
    from thinfer.errors import QualityError
    from thinfer.pipeline.audit import audit
    from thinfer.pipeline.audit_request import AuditRequest

    request = AuditRequest(
        original=original,
        bundle=bundle,
        traffic=traffic,
        out=out,
        labels=labels,
        floors=tuple(floor or ()),
        normal_label=normal_label,
        text_column=text_column,
        label_column=label_column,
        engine=engine,
        threads=threads,
        sample=sample,
        most=most,
        seed=seed,
        precision=known_precision,
        test=test,
        resume=resume,
    )
    result = audit(request, progress=output.progress)
    output.result(result, lambda: "\n".join(_describe(result)))
    failing = ("broken", "unproven") if require_proof else ("broken",)
    if result["verdict"] in failing:
        named = [item["expr"] for item in result["floors"] if item["verdict"] in failing]
        what = f"on this traffic the verdict is {result['verdict']}: {', '.join(named)}"
        raise QualityError(what, do="go back to the original, or label more of the traffic")


def _describe(result: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for item in result["floors"]:
        seen = (item["retention"], *item["interval"])
        shown = ("-" if value is None else f"{value:.2%}" for value in seen)
        rows.append((item["expr"], *shown, item["verdict"], item["reason"]))
    yield f"{result['rows']:,} rows, {result['agreement']:.2%} of them with the same answer"
    yield ""
    yield format_table(("promised", "seen", "at least", "at most", "verdict", "why"), rows)
    yield ""
    for item in result["floors"]:
        yield from _say_what_helps(item)
    part = result["labelling"]
    if part["labelled"]:
        yield (
            f"labelled: {part['labelled']:,} of the {part['rows']:,} rows that were asked for, in "
            f"place of all {result['rows']:,}"
        )
    if part["missing"]:
        yield (
            f"to label: {part['missing']:,} rows in {part['sheet']} in place of all "
            f"{result['rows']:,}, each with one of {', '.join(result['labels'])}; then: "
            f"thinfer audit --out {result['out']} --labels FILE"
        )


def _say_what_helps(item: Mapping[str, Any]) -> Iterator[str]:
    known = item["precision"]
    if known is not None:
        where = {
            "given": "as it was given",
            "test": "measured on the labelled file",
            "manifest": "from the bundle's own test",
        }[known["source"]]
        counted = "" if known["rows"] is None else f" ({known['found']:,} of {known['rows']:,})"
        yield (
            f"{item['expr']}: the precision of the original is {where}{counted}; the bound holds "
            "only while it has not fallen"
        )
    if item["verdict"] == "unproven" and item["losses_allowed"] is not None:
        yield (
            f"{item['expr']}: labels would prove it if at most {item['losses_allowed']:,} of the "
            f"{item['populations']['may_lose']:,} changed answers turn out to be losses"
        )
    elif item["verdict"] == "unproven" and item["rows_needed"] is not None:
        more = "even without a loss it takes" if item["basis"] == "bound" else "it takes"
        labels = item["labels_needed"]
        yield (
            f"{item['expr']}: {more} about {item['rows_needed']:,} rows of traffic to prove it"
            + (f", about {labels:,} of them labelled" if labels is not None else "")
        )

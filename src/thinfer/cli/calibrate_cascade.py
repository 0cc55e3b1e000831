"""`thinfer calibrate-cascade`: how sure a small model must be to answer for a bigger one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from thinfer.cli.output import Output, format_table

__all__ = ["command"]


def command(
    small: Annotated[
        Path, typer.Argument(help="The bundle, or the gate file, that answers first.")
    ],
    to: Annotated[Path, typer.Option(help="The bundle that is asked where it is unsure.")],
    data: Annotated[Path, typer.Option(help="Labelled text that chooses the threshold.")],
    out: Annotated[Path, typer.Option(help="The policy file.")] = Path("cascade.json"),
    test: Annotated[Path | None, typer.Option(help="Labelled text that judges it.")] = None,
    floor: Annotated[
        list[str] | None,
        typer.Option(help="Quality of the cascade, for example accuracy>=99.5%. Repeatable."),
    ] = None,
    engine: Annotated[str | None, typer.Option(help="An engine of the small bundle.")] = None,
    to_engine: Annotated[str | None, typer.Option(help="An engine of the bigger bundle.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one call.")] = None,
    seed: Annotated[int, typer.Option(help="Of floors that are judged by resampling.")] = 0,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Name of the label column.")] = None,
    normal_label: Annotated[str | None, typer.Option(help="The label that is no finding.")] = None,
    *,
    output: Output,
) -> None:
    """Choose how sure a small model must be to answer in place of a bigger one.

    The fewest texts go on with which the floors still hold, relative to the bigger model.

    Raises:
        QualityError: the floors are proven under no threshold, so there is no policy; or one is
            broken on the test file, and the policy says so.
    """
    from thinfer.core.clock import SystemClock
    from thinfer.errors import QualityError
    from thinfer.pipeline.cascade import CascadeRequest, calibrate_cascade
    from thinfer.text.corpus import Corpus, read_corpus

    def read(path: Path) -> Corpus:
        return read_corpus(path, text_column=text_column, label_column=label_column)

    request = CascadeRequest(
        small=small,
        big=to,
        data=read(data),
        test=None if test is None else read(test),
        floors=tuple(floor or ()),
        normal_label=normal_label,
        engine=engine,
        big_engine=to_engine,
        threads=threads,
        seed=seed,
    )
    policy, result = calibrate_cascade(request, progress=output.progress, clock=SystemClock())
    for warning in result["warnings"]:
        output.note(warning)
    if policy is None:
        output.result({**result, "policy": None}, lambda: _describe(result))
        what = "the floors are proven under no threshold: every text would go on (share 1)"
        do = "allow a lower floor, bring more labelled rows, or a better small model"
        raise QualityError(what, got="; ".join(result["stopped"]["reasons"]), do=do)
    policy.write(out)
    output.result({**result, "policy": str(out)}, lambda: f"{_describe(result)}\nwritten: {out}")
    if policy.test is not None and policy.test["verdict"] == "broken":
        what = f"the cascade breaks a floor on the test file; '{out}' says so"
        raise QualityError(what, do="bring more labelled rows, or allow a lower floor")


def _describe(result: Mapping[str, Any]) -> str:
    rows = []
    for name in ("dev", "test"):
        part = result[name]
        if part is None:
            continue
        for each in part["floors"]:
            low, high = each["interval"]
            span = "-" if low is None or high is None else f"{low:.4f} … {high:.4f}"
            share = f"{part['cloud_share']:.1%}"
            rows.append(
                (name, part["n"], share, each["expr"], each["original"], each["value"], span,
                 each["verdict"])
            )  # fmt: skip
    head = ("", "rows", "go on", "floor", "bigger", "cascade", "interval", "verdict")
    stop = result["stopped"]
    table = format_table(head, rows)
    if result["threshold"] is None:
        return f"{table}\n\nno text can be answered here"
    ending = "every text that it has an answer to stays here"
    if stop is not None:
        ending = f"the next step: {stop['reasons'][0]}"
    return f"{table}\n\nanswered here from a score of {result['threshold']:.4f} on; {ending}"

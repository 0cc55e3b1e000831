"""The section of the page on audits."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.tables import Body, facts, number, percent, table

__all__ = ["render_audit"]

_HEAD = (
    "set, labelled", "traffic rows", "to label", "of all", "floor", "true on this traffic",
    "bound without labels", "verdict", "with those labels: seen", "at least", "verdict",
    "with every label: at least", "verdict",
)  # fmt: skip


def render_audit(results: Body) -> list[str]:
    """Give the section.

    Args:
        results: set and case → what `benchmarks.audit` stored.
    """
    note = (
        "Every other test row is traffic whose labels the audit does not see; the precision of the "
        "original, for the bound without labels, comes from the other half. Then the rows that the "
        "audit asks for are labelled from the data set, and at last all of them. Retention: the "
        "share of the original's value that the bundle keeps; lower ends are 95 %, one-sided.\n"
    )
    rows = [row for key, body in results.items() for row in _rows(key, body)]
    about = [
        f"- {key}: {body['bundle']['engine']} {body['bundle']['precision']}, "
        f"{body['agreement']:.2%} of {body['rows']:,} answers are the original's; "
        f"{body['labelling']['changed']:,} rows differ, {body['labelling']['agreed']:,} agreed "
        f"rows are labelled with them; precision from {body['test_rows']:,} labelled rows"
        for key, body in results.items()
    ]
    return [facts(results), note, table(_HEAD, rows), *about, ""]


def _rows(key: str, body: Body) -> Iterator[tuple[str, ...]]:
    asked = body["labelling"]["rows"]
    for floor in body["floors"]:
        without, labelled, whole = (floor[name] for name in ("without", "labelled", "whole"))
        value = whole["original"] or 1.0
        yield (
            key,
            number(body["rows"]),
            number(asked),
            percent(asked / body["rows"]),
            without["expr"],
            percent(whole["value"] / value),
            percent(without["interval"][0]),
            without["verdict"],
            percent(labelled["retention"]),
            percent(labelled["interval"][0]),
            labelled["verdict"],
            percent(whole["interval"][0] / value),
            whole["verdict"],
        )

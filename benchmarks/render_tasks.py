"""The section of the page on thresholds, several labels and pairs."""

from __future__ import annotations

from benchmarks.tables import Body, facts, interval, number, percent, table, times

__all__ = ["render_tasks"]

_HEAD = (
    "task", "engine", "× original", "test rows", "labels a text", "not the best score alone",
    "predict = judged", "/check = predict", "largest difference of a score",
)  # fmt: skip
_FLOORS = ("task", "floor", "original", "bundle", "interval", "false-positive rate", "verdict")


def render_tasks(results: Body) -> list[str]:
    """Give the section.

    Args:
        results: task → what `benchmarks.tasks` stored.
    """
    note = (
        "Generated texts, fitted on the encoder of the titles, compressed at half width. Every "
        "test row is answered in the verdict (`evidence.parquet`), by `thinfer predict` in "
        "batches, and by `/check` of a running service, one text a request. Whole answers are "
        "compared: of a text with several labels the set.\n"
    )
    rows = [
        (
            name,
            f"{body['engine']} {body['precision']}",
            times(body["speedup"]),
            number(body["rows"]),
            f"{body['labels']:.2f}",
            number(body["decided"]),
            f"{number(body['predict_as_judged'])} of {number(body['judged_rows'])}",
            f"{number(body['served_as_predicted'])} of {number(body['rows'])}",
            f"{body['largest_score_difference']:.1e}",
        )
        for name, body in results.items()
    ]
    floors = [
        (
            name,
            f"`{floor['expr']}`",
            percent(floor["original"]),
            percent(floor["value"]),
            interval(floor["interval"], digits=4),
            "" if floor["false_positive_rate"] is None else percent(floor["false_positive_rate"]),
            floor["verdict"],
        )
        for name, body in results.items()
        for floor in body["floors"]
    ]
    return [facts(results), note, table(_HEAD, rows), table(_FLOORS, floors), ""]

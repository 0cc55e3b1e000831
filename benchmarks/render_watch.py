"""The section of the page on the watch over promised floors."""

from __future__ import annotations

from benchmarks.tables import Body, facts, number, percent, table

__all__ = ["render_watch"]

_HEAD = (
    "lost of what is flagged", "stopped", "texts: median", "mean", "90 % of runs", "no test can",
    "mean × of that",
)  # fmt: skip


def render_watch(results: Body) -> list[str]:
    """Give the section.

    Args:
        results: what `benchmarks.watch` stored.
    """
    parts = [facts(results)]
    for body in results.values():
        note = (
            f"A floor that allows {percent(body['allowed'])} of the flagged texts to be lost, "
            f"{number(body['runs'])} simulated versions a row, looked at after every text for "
            f"{number(body['horizon'])} flagged texts. `no test can`: the mean below which no test "
            "goes that stops a good version at most once in twenty (ln 20 / KL).\n"
        )
        rows = [
            (
                percent(row["loss"]),
                percent(row["stopped"]),
                *(
                    "" if row[name] is None else number(round(row[name]))
                    for name in ("median", "mean", "p90", "fewest")
                ),
                "" if row["fewest"] is None else f"{row['mean'] / row['fewest']:.2f}",
            )
            for row in body["rows"]
        ]
        parts += [note, table(_HEAD, rows)]
    return parts

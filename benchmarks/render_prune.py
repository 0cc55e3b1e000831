"""The section on pruning: accuracy kept by every method at every speed-up."""

from __future__ import annotations

from benchmarks.tables import Body, facts, number, percent, table, times

__all__ = ["render_prune"]


def render_prune(results: Body) -> list[str]:
    """Give the section.

    Args:
        results: set → what `benchmarks.prune` stored.
    """
    parts = [facts(results)]
    for key, body in results.items():
        dense = f"{number(body['rows'])} test rows, dense {percent(body['dense_accuracy'])}"
        parts.append(f"### {key}: {dense}, speed in {body['engine']}\n")
        parts.append(table(_HEAD, [_row(state) for state in body["states"]]))
        spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in body["seconds"].items())
        parts.append(f"Seconds spent by ours: {spent}.\n")
    return parts


_HEAD = (
    "method", "asked", "seed", "measured ×", "predicted ×", "accuracy", "kept", "lost", "gained",
)  # fmt: skip


def _row(state: Body) -> tuple[str, ...]:
    return (
        state["method"],
        f"{state['asked']:g}",
        str(state["seed"]),
        times(state["measured"]),
        times(state["predicted"]),
        percent(state["accuracy"]),
        percent(state["kept"]),
        str(state["lost"]),
        str(state["gained"]),
    )

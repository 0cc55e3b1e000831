"""The sections on pruning: accuracy kept by every method at every speed-up."""

from __future__ import annotations

from benchmarks.tables import Body, facts, mega, number, percent, table, times

__all__ = ["render_family", "render_prune", "render_retrain"]


def render_prune(results: Body) -> list[str]:
    """Give the section on pruning alone.

    Args:
        results: set → what `benchmarks.prune` stored.
    """
    return _render(results, ("seed",))


def render_retrain(results: Body) -> list[str]:
    """Give the section on pruning with retraining.

    Args:
        results: set → what `benchmarks.retrain` stored.
    """
    return _render(results, ("seed", "unlabelled"))


def render_family(results: Body) -> list[str]:
    """Give the section on time and memory of a family of five ratios.

    Args:
        results: preset → what `benchmarks.family` stored.
    """
    rows = [
        (
            f"{key}, {body['size']}",
            f"{body['total_seconds']:.0f}",
            ", ".join(f"{name} {seconds:.0f}" for name, seconds in body["seconds"].items()),
            number(body["calibration_tokens"]),
            mega(body["bytes_before"]),
            mega(body["bytes_ladders"]),
            mega(body["bytes_peak"]),
        )
        for key, body in results.items()
    ]
    note = (
        "Weights are drawn, not trained: only time and memory are quoted. Peaks of resident memory"
        " of the whole process: with the model read, with ladders and prices, at the end.\n"
    )
    return [facts(results), table(_FAMILY_HEAD, rows), note]


_FAMILY_HEAD = ("model", "seconds", "of them", "tokens", "read", "with ladders", "peak")


def _render(results: Body, columns: tuple[str, ...]) -> list[str]:
    parts = [facts(results)]
    for key, body in results.items():
        dense = f"{number(body['rows'])} test rows, dense {percent(body['dense_accuracy'])}"
        parts.append(f"### {key}: {dense}, speed in {body['engine']}\n")
        head = ("method", "asked", *columns, *_HEAD)
        parts.append(table(head, [_row(state, columns) for state in body["states"]]))
        spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in body["seconds"].items())
        if spent:
            parts.append(f"Seconds spent by ours: {spent}.\n")
    return parts


_HEAD = ("measured ×", "predicted ×", "accuracy", "kept", "lost", "gained")


def _row(state: Body, columns: tuple[str, ...]) -> tuple[str, ...]:
    return (
        state["method"],
        f"{state['asked']:g}",
        *(number(state.get(column, 0)) for column in columns),
        times(state["measured"]),
        times(state["predicted"]),
        percent(state["accuracy"]),
        percent(state["kept"]),
        str(state["lost"]),
        str(state["gained"]),
    )

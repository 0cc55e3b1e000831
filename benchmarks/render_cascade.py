"""The section of the page on cascades."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.tables import Body, facts, interval, mega, number, percent, table

__all__ = ["render_cascade"]

_HEAD = (
    "set", "rows", "small", "bigger", "accuracy: small alone", "bigger alone", "cascade",
    "small over bigger", "go on", "work left", "floor", "value", "interval", "verdict",
)  # fmt: skip


def render_cascade(results: Body) -> list[str]:
    """Give the section.

    Args:
        results: set → what `benchmarks.cascade` stored.
    """
    note = (
        "A teacher cut far (to 1/32 where nothing else is said), or a gate of hashed "
        "n-grams, answers first; its teacher answers where it is unsure. The value of each floor "
        "with its interval, and the share of texts that go on; `dev` chose the threshold, `test` "
        "judged it. The verdict is that of both together against the bigger model alone. Small "
        "over bigger: how many times as many texts a second as the teacher in ONNX Runtime FP32. "
        "Work left: what both take of the bigger model's time alone, the small one's for every "
        "text and its own for those that go on.\n"
    )
    rows = [row for key, body in results.items() for row in _rows(key, body)]
    stops = [
        f"- {key}: {'every text goes on' if body['threshold'] is None else 'the next step'}: "
        f"{body['stopped']['reasons'][0]}"
        for key, body in results.items()
        if body["stopped"] is not None
    ]
    return [facts(results), note, table(_HEAD, rows), *stops, ""]


def _rows(key: str, body: Body) -> Iterator[tuple[str, ...]]:
    models = [
        f"{body[each]['engine']} {body[each]['precision']}, {mega(body[f'{each}_bytes'])}"
        for each in ("small", "big")
    ]
    for name in ("dev", "test"):
        part = body[name]
        if part is None:
            continue
        metrics = part["metrics"]
        for floor in part["floors"]:
            yield (
                f"{key}, {name}",
                number(part["n"]),
                *models,
                *(_accuracy(metrics, each) for each in ("small", "big", "cascade")),
                *_work(body, part["cloud_share"]),
                floor["expr"],
                percent(floor["value"]),
                interval(floor["interval"], digits=4),
                floor["verdict"],
            )


def _work(body: Body, share: float) -> tuple[str, str, str]:
    gain = body.get("small_speedup")  # of a cut teacher; a gate's own time was not measured
    if gain is None:
        return "", percent(share), ""
    return f"{gain:.2f}", percent(share), percent(1 / gain + share)


def _accuracy(metrics: Body, name: str) -> str:
    return percent(metrics[name]["accuracy"]) if name in metrics else ""

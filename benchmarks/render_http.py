"""The section on HTTP services that run the same ONNX file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.tables import Body, facts, interval, mega, number, percent, table, times

__all__ = ["render_http"]


def render_http(results: Body) -> list[str]:
    """Give the section.

    Args:
        results: model → what `benchmarks.http` stored.
    """
    parts = [facts(results)]
    for key, body in results.items():
        parts.append(f"### {key}\n")
        parts += _tell_overhead(body) if body["kind"] == "overhead" else _tell_model(body)
        parts += [f"- {item['name']}: absent: {item['reason']}\n" for item in body["absent"]]
    return parts


def _tell_model(body: Body) -> list[str]:
    head = (
        "service", "p50 ms at rest", "p99 ms at 80 %", "requests/s", "within the limit", "per core",
        "RSS", "same labels",
    )  # fmt: skip
    rows = [
        (
            row["name"],
            _milliseconds(row["p50_ms_quiet"]),
            _milliseconds(row["p99_ms_busy"]),
            number(row["capacity"]),
            _rates(row["within_limit"], row.get("searches", ()), body["limit_ms"]),
            number(row["texts_per_second_per_core"]),
            mega(row["rss_bytes"]),
            percent(body["same_labels_as_fastapi"][row["name"]]),
        )
        for row in body["rows"]
    ]
    effort = body["effort"]
    told = (
        f"{body['layers']} layers, hidden {body['hidden']}. {body['service_threads']} threads "
        f"each, {effort['rounds']} turns of {effort['seconds']:g} s, {effort['searches']} "
        f"searches. At rest: {body['quiet_rate']:.1f} requests a second for all. 80 %: of the "
        f"capacity of {body['best_peer']}, {body['busy_rate']:.1f} a second, for it and for "
        f"thinfer. requests/s: {body['connections']} callers that wait for their answers. Within "
        f"the limit: the highest rate whose p99 stays within {body['limit_ms']:g} ms, median of "
        "the searches (*: not confirmed by a second turn; the highest that passed below all that "
        "did not). Per core: texts for each second of processor time that the service used. "
        f"Every service reads the same graph (SHA-256 {body['graph'][:12]}…), but for the engine "
        "that thinfer chose.\n"
    )
    ratios = [
        (
            f"{name} over the best peer",
            what,
            times(found["ratio"]),
            interval(found["interval"]),
            f"{found['rounds']} of {found['of']}",
        )
        for name, each in body["ratios"].items()
        for what, found in each.items()
    ]
    batches = [
        (
            name,
            number(found["http_texts_per_second"]),
            number(found["inside_texts_per_second"]),
            percent(found["share"]),
            interval([100 * end for end in found["share_interval"]], digits=0) + " %",
        )
        for name, found in body["batches"].items()
    ]
    return [
        told,
        table(head, rows),
        table(("", "of", "×", "interval", "rounds"), ratios),
        f"Client batches of {_batch(body)}:\n",
        table(("", "texts/s through HTTP", "inside a process", "share", "interval"), batches),
        *_tell_generator(body),
    ]


def _tell_overhead(body: Body) -> list[str]:
    head = (
        "service", "CPU ms a request, one caller", f"{body['connections']} callers", "requests/s",
        "p50 ms, one caller",
    )  # fmt: skip
    rows = [
        (
            row["name"],
            f"{row['cpu_ms']:.3f}",
            f"{row['cpu_ms_busy']:.3f}",
            number(row["requests_per_second"]),
            f"{row['p50_ms']:.2f}",
        )
        for row in body["rows"]
    ]
    told = (
        "What a request costs beside the model: the same graph of one layer, eight wide, in every "
        "service; the fake engine calls no runtime. Uvicorn alone, where it stands, reads a body "
        "and answers with a constant: what no service on it can spare. The processor time of the "
        "service's process over the requests it answered; nothing is subtracted. "
        f"{body['service_threads']} threads each, {body['effort']['rounds']} turns of "
        f"{body['effort']['seconds']:g} s.\n"
    )
    return [told, table(head, rows)]


def _tell_generator(body: Body) -> list[str]:
    faults = [
        f"- {row['name']}: in some turns {fault}"
        for row in body["rows"]
        for fault in row["generator_faults"][-1:]
    ]
    shared = [] if body["has_spare_cores"] else ["The load came from the services' own cores.\n"]
    told = "Where the generator may have been at its limit:\n"
    return [*shared, *([told, "\n".join(faults) + "\n"] if faults else [])]


def _batch(body: Body) -> int:
    return next((int(found["batch"]) for found in body["batches"].values()), 0)


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _rates(values: Sequence[float | None], searches: Sequence[Body], limit_ms: float) -> str:
    """The median of the searches, each with its confirmed rate, else with the best that passed."""
    if not values:
        return ""
    found = [
        value or (_best_passed(searches[turn], limit_ms) if turn < len(searches) else 0.0)
        for turn, value in enumerate(values)
    ]
    is_confirmed = all(value for value in values) or not any(found)
    return number(float(np.median(found))) + ("" if is_confirmed else " *")


def _best_passed(search: Body, limit_ms: float) -> float:
    """The highest rate within the limit and below all that were not; 0 of none."""
    steps = [(step["rate"], step["p99_ms"]) for step in search["steps"]]
    broken = [rate for rate, p99 in steps if p99 is None or p99 > limit_ms]
    least = min(broken, default=float("inf"))
    return max((rate for rate, p99 in steps if rate < least and p99 is not None), default=0.0)

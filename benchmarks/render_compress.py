"""The section on whole compressions under a floor."""

from __future__ import annotations

from benchmarks.tables import Body, facts, interval, mega, number, percent, table, times

__all__ = ["render_compress", "render_repeat"]


def render_compress(results: Body) -> list[str]:
    """Give the section on whole compressions.

    Args:
        results: set and engines → what `benchmarks.compress_sets` stored.
    """
    parts = [facts(results)]
    parts.append(table(_SPEED_HEAD, [_speed_row(key, body) for key, body in results.items()]))
    for key, body in results.items():
        parts += [f"### {key}\n", *_one_compression(body)]
    return parts


def render_repeat(results: Body) -> list[str]:
    """Give the section on two runs of one command.

    Args:
        results: set → what `benchmarks.repeat` stored.
    """
    rows = [
        (
            key,
            f"`{body['speedup']}`",
            body["chosen"][0],
            *(f"`{digest[:16]}…`" for digest in body["digests"]),
            "yes" if len(set(body["digests"])) == 1 else "**no**",
        )
        for key, body in results.items()
    ]
    head = ("set", "`--speedups`", "chosen", "content digest, first run", "second run", "equal")
    return [facts(results), table(head, rows)]


_SPEED_HEAD = (
    "set and engines", "verdict", "chosen", "× original", "interval", "one text ×", "size",
    "of the original", "pruning's own ×",
)  # fmt: skip


def _speed_row(key: str, body: Body) -> tuple[str, ...]:
    chosen, original = body["chosen"], body["original"]
    share = chosen["size_bytes"] / original["size_bytes"]
    factors = {factor["name"]: factor["factor"] for factor in body["factors"]}
    pruned = factors.get("depth", 1.0) * factors.get("width", 1.0)
    return (
        key,
        body["verdict"],
        f"{chosen['engine']} {chosen['precision']}",
        times(body["speedup"]),
        interval(chosen.get("speedup_interval")),
        times(body["latency_ratio"]),
        mega(chosen["size_bytes"]),
        percent(share),
        times(pruned),
    )


def _one_compression(body: Body) -> list[str]:
    floors = [
        (
            f"`{floor['expr']}`",
            f"{floor['original']:.4f}",
            f"{floor['value']:.4f}",
            interval(floor["interval"], digits=4),
            floor["verdict"],
            number(floor.get("rows_needed")),
        )
        for floor in body["floors"]
    ]
    head = ("floor", "original", "bundle", "interval", "verdict", "rows needed")
    ends = [("transformers eager FP32", body["baseline"]), ("original", body["original"])]
    ends.append(("bundle", body["chosen"]))
    quality = [
        (
            name,
            percent(end["metrics"]["accuracy"]),
            percent(end["metrics"]["macro_f1"]),
            number(end.get("texts_per_second")),
            f"{end['latency_ms']:.2f}",
            mega(end["size_bytes"]),
            mega(end["peak_rss_bytes"]),
        )
        for name, end in ends
    ]
    quality += [
        (
            cheap["name"] + _cheap_note(cheap),
            percent(cheap["metrics"]["accuracy"]),
            percent(cheap["metrics"]["macro_f1"]),
            number(cheap["texts_per_second"]),
            "",
            mega(cheap["size_bytes"]),
            "",
        )
        for cheap in (body[name] for name in ("linear", "textcnn") if name in body)
    ]
    columns = ("on test", "accuracy", "macro F1", "texts/s", "one text, ms", "size", "peak RSS")
    factors = [(item["name"], times(item["factor"]), item["detail"]) for item in body["factors"]]
    data = body["data"]
    notes = f"{data['test']:,} test rows judged; {data['leaked']} leaked rows left out."
    return [
        table(head, floors),
        table(columns, quality),
        table(("factor", "×", "what changed"), factors),
        f"{notes} The run took {body['seconds'] / 60:.1f} min.{_prediction(body)}\n",
        *(f"- {warning}" for warning in body["warnings"]),
        "",
    ]


def _prediction(body: Body) -> str:
    """How far the latency table's promises were from what was measured."""
    pairs = [
        (item["predicted_latency_ms"], item["latency_ms"])
        for item in body["candidates"]
        if item.get("predicted_latency_ms") and item.get("latency_ms")
    ]
    if not pairs:
        return ""
    ratios = [predicted / measured for predicted, measured in pairs]
    chosen = body["chosen"]
    told = chosen.get("predicted_latency_ms")
    of_chosen = f"; of the chosen one {told / chosen['latency_ms']:.2f}" if told else ""
    return (
        f" One text, predicted over measured, of {len(pairs)} narrower forms: "
        f"{min(ratios):.2f} … {max(ratios):.2f}{of_chosen}."
    )


def _cheap_note(cheap: Body) -> str:
    missed = cheap.get("missed_on_dev")
    if missed is None:
        return ""
    return " (misses the floor)" if missed else " (**holds the floor on dev**)"

"""The reliability list as one table: what was done to the service, how often, what came of it."""

from __future__ import annotations

from benchmarks.tables import Body, facts, mega, number, percent, table

__all__ = ["render_reliability"]


def render_reliability(results: Body) -> list[str]:
    """Give the section's parts."""
    rows = [_ROWS[name](body) for name, body in results.items() if name in _ROWS]
    head = ("what is done", "how often", "what must hold", "found")
    return [facts(results), table(head, rows)]


def _counts(found: Body) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(found.items()))


def _stops(body: Body) -> tuple[str, ...]:
    statuses = ", ".join(f"{count:,} × {status}" for status, count in body["answered"].items())
    exits = ", ".join(f"{count} × {code}" for code, count in body["exit_codes"].items())
    return (
        "SIGTERM in the middle of 400 requests a second"
        + (f", {body['workers']} worker processes" if body.get("workers", 1) > 1 else ""),
        number(body["repeats"]),
        "no accepted request lost, exit 0",
        f"{body['accepted_and_lost']} lost; answers {statuses}; "
        f"{body['refused_after_close']:,} not accepted after the socket closed; exits {exits}; "
        f"longest stop {body['longest_stop_s']:.2f} s",
    )


def _swaps(body: Body) -> tuple[str, ...]:
    found = _counts(body["found"])
    growth = body["rss_at_end_bytes"] / body["rss_after_20_bytes"] - 1
    return (
        f"hot swap under the load of {body['callers']} callers",
        number(body["repeats"]),
        "no error, every answer its own version's, RSS at most 5 % over that after 20",
        f"{found}; RSS {growth:+.1%}; median swap {body['median_swap_s']:.2f} s",
    )


def _damage(body: Body) -> tuple[str, ...]:
    found = _counts(body["found"])
    return (
        f"a damaged bundle is offered ({', '.join(body['kinds'])})",
        number(body["repeats"]),
        "all refused, the old one answers on",
        f"{found}; RSS grew by {mega(body['rss_growth_bytes'])}",
    )


def _overload(body: Body) -> tuple[str, ...]:
    statuses = ", ".join(f"{count:,} × {status}" for status, count in body["statuses"].items())
    errors = ", ".join(f"{count:,} × {name}" for name, count in body["errors"].items())
    return (
        f"{body['asked_per_second']:,.0f} requests a second, three times the capacity, "
        "sent from the same cores",
        f"{body['seconds']:.0f} s",
        "good answers ≥ 90 % of capacity, the rest 429, RSS bounded",
        f"{percent(body['share_of_capacity'])} of {body['capacity']:,.0f}; {statuses}"
        f"{'; ' + errors if errors else ''}; RSS grew by {mega(body['rss_growth_bytes'])}; "
        f"answered again after {body['recovered_s']:.2f} s",
    )


def _soak(body: Body) -> tuple[str, ...]:
    statuses = ", ".join(f"{count:,} × {status}" for status, count in body["statuses"].items())
    return (
        "texts of 1 to 512 characters",
        number(body["requests"]),
        "RSS flat",
        f"{statuses}; slope {body['slope_bytes_per_1000_requests'] / 1e3:+.1f} kB per 1,000 "
        f"requests, RSS {mega(body['rss_bytes'][0])} at the start, "
        f"{mega(body['rss_bytes'][-1])} at the end",
    )


def _strange(body: Body) -> tuple[str, ...]:
    return (
        "a whole bundle is offered whose golden set tells other answers, or that is slower than "
        "allowed",
        number(body["repeats"]),
        "all refused, the old one answers on",
        _counts(body["found"]),
    )


def _split(body: Body) -> tuple[str, ...]:
    return (
        f"{percent(body['asked_share'])} of {body['keys']:,} keys go to a second version, then "
        f"it sees {body['shadowed']:,} texts as a shadow",
        number(body["requests"]),
        "share as asked (chi-square under 3.84), keys stay, counters add up, no answer changed",
        f"{percent(body['share_of_keys'])} of the keys, chi-square {body['chi_square']:.2f}; "
        f"{body['keys_that_moved']} keys moved; counters off by {body['counters_differ_by']:.0f}; "
        f"{body['answers_changed_by_a_shadow']} answers changed",
    )


def _kills(body: Body) -> tuple[str, ...]:
    return (
        "one of two worker processes is killed (SIGKILL) under the load of a caller",
        number(body["repeats"]),
        "another takes its place; only requests in its hands are lost",
        f"{_counts(body['found'])}; replaced after {body['median_s']:.2f} s (median), "
        f"{body['longest_s']:.2f} s at most",
    )


def _cloud(body: Body) -> tuple[str, ...]:
    found = "; ".join(
        f"{name}: {_counts(item['statuses'])}, {item['degraded']} marked, slowest "
        f"{item['slowest_s']:.2f} s"
        for name, item in body["kinds"].items()
    )
    return (
        "the bigger model of a cascade is away, silent, full or wrong",
        f"{body['requests']:,} each",
        f"200 within {body['timeout_s']:.0f} s and the small model's own time, marked `degraded`",
        found,
    )


def _requests(body: Body) -> tuple[str, ...]:
    failed = ", ".join(body["failed"]) or "none"
    on = "answers on" if body["answers_on"] else "answers otherwise"
    return (
        "damaged requests (bytes, lengths, types, depth, headers) on six routes",
        number(body["repeats"]),
        "no 5xx",
        f"{_counts(body['found'])}; 5xx: {failed}; {on}",
    )


def _counters(body: Body) -> tuple[str, ...]:
    return (
        "requests of known fates",
        number(body["repeats"]),
        "every counter exact, at every look",
        f"{_counts(body['sent'])}; {body['counters_that_differ']} counters differ",
    )


def _tokenizers(body: Body) -> tuple[str, ...]:
    return (
        f"{body['side_by_side']} threads on one tokenizer",
        number(body["texts"]),
        "each gets its own answer",
        _counts(body["found"]),
    )


_ROWS = {
    "stops": _stops,
    "stops_workers": _stops,
    "swaps": _swaps,
    "damage": _damage,
    "overload": _overload,
    "overload_slow": _overload,
    "soak": _soak,
    "strange": _strange,
    "split": _split,
    "kills": _kills,
    "cloud": _cloud,
    "requests": _requests,
    "counters": _counters,
    "tokenizers": _tokenizers,
}

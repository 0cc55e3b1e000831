"""Numbers as a reader wants them: short, with their unit, and a dash where there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = [
    "NONE",
    "show_bound",
    "show_bytes",
    "show_count",
    "show_milliseconds",
    "show_percent",
    "show_ratio",
    "show_seconds",
    "text_of",
]

NONE = "–"


def show_ratio(value: float | None) -> str:
    """Give `7.4×`; two places below 2, none from 100 on."""
    if value is None:
        return NONE
    places = 2 if value < 2 else 1 if value < 100 else 0
    return f"{value:,.{places}f}×"


def show_percent(value: float | None, places: int = 2) -> str:
    """Give a share of 1 as `99.50 %`."""
    return NONE if value is None else f"{100 * value:.{places}f} %"


def show_bound(value: float, *, is_upper: bool = False, places: int = 2) -> str:
    """Give a bound of an interval as a percentage, rounded to the side that claims less.

    Args:
        value: a share of 1.
        is_upper: whether the bound is an upper one.
        places: after the point.
    """
    steps = 100 * value * 10**places
    rounded = math.ceil(steps - 1e-6) if is_upper else math.floor(steps + 1e-6)
    return f"{rounded / 10**places:.{places}f} %"


def show_bytes(value: float | None) -> str:
    """Give bytes as `15.6 MB` (powers of 1,000)."""
    if value is None:
        return NONE
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def show_count(value: float | None) -> str:
    """Give a count as `1,041`, with one place below 100 where it is not whole."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def show_milliseconds(value: float | None) -> str:
    """Give milliseconds with three digits that count."""
    return NONE if value is None else f"{value:.3g} ms" if value < 100 else f"{value:,.0f} ms"


def show_seconds(value: float | None) -> str:
    """Give seconds as `41 s` or `8 min 32 s`."""
    if value is None:
        return NONE
    if value < 10:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def text_of(value: object) -> str:
    """Give any JSON value as text for a table cell."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text_of(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(text_of(item) for item in value)
    return str(value)

"""HTML from parts: plain text is escaped, markup is a type of its own, so neither is mistaken."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

__all__ = ["Html", "draw_table", "element", "join", "make_row"]

_VOID = {"br", "input"}  # HTML has no closing tag for these


class Html(str):
    """Text that is markup already; made by `element` and `join` only."""

    __slots__ = ()


def element(name: str, attributes: Mapping[str, object], *children: str) -> Html:
    """Give one element; children that are plain `str` and every attribute are escaped.

    Args:
        name: tag name.
        attributes: names and values; `None` and `False` leave the attribute out, `True` gives it
            no value.
        *children: what stands inside, in order.

    Returns:
        The markup.
    """
    opening = "".join(_attribute(key, value) for key, value in attributes.items())
    inside = join(*children)
    closing = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{opening}>{inside}{closing}")


def join(*parts: str) -> Html:
    """Give the parts one after another; those that are plain `str` are escaped."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def make_row(cells: Sequence[str]) -> Html:
    """Give a row of a table, whose first cell names it."""
    head = element("th", {"scope": "row"}, cells[0])
    return element("tr", {}, head, *(element("td", {}, cell) for cell in cells[1:]))


def draw_table(heads: Sequence[str], rows: Sequence[Html], *, kind: str | None = None) -> Html:
    """Give a table that scrolls by itself where the page is narrow.

    Args:
        heads: of the columns.
        rows: as `make_row` gives them.
        kind: a class for the style sheet.
    """
    header = element("tr", {}, *(element("th", {"scope": "col"}, head) for head in heads))
    table = element(
        "table", {"class": kind}, element("thead", {}, header), element("tbody", {}, *rows)
    )
    return element("div", {"class": "scroll", "tabindex": "0"}, table)


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'

"""HTML from parts: plain text is escaped, markup is a type of its own, so neither is mistaken."""

from __future__ import annotations

import html
from collections.abc import Mapping

__all__ = ["Html", "element", "join"]

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


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'

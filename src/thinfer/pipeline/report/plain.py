"""The first section of the page: the verdict in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from thinfer.pipeline.report.markup import Html, element, join
from thinfer.pipeline.report.promise import PlainWords

__all__ = ["show_plainly"]


def show_plainly(words: PlainWords) -> Html:
    """Give the sentences in their parts; nothing where no floor was set.

    Args:
        words: what there is to say.
    """
    if not words.promised:
        return Html("")
    parts = (
        ("Promised", "", words.promised),
        ("Measured", "", words.measured),
        ("Proven", "holds", words.proven),
        ("Not proven", "unproven", words.open),
        ("Broken", "broken", words.broken),
        ("What proof would take", "", words.needed),
        ("Risk of the choice", "", words.risk),
    )
    rows = [_part(title, kind, sentences) for title, kind, sentences in parts if sentences]
    return element("dl", {"class": "plain"}, *rows)


def _part(title: str, kind: str, sentences: Sequence[str]) -> Html:
    # A number and its percent sign stay on one line.
    said = [element("p", {}, text.replace(" %", "\u00a0%")) for text in sentences]
    return join(element("dt", {"class": kind or None}, title), element("dd", {}, *said))

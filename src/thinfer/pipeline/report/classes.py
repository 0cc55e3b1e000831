"""The table of classes and slices: what each lost, what is proven of it, what is too rare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thinfer.pipeline.report.markup import Html, element, join
from thinfer.pipeline.report.wording import NONE, show_bound, show_count, show_percent

__all__ = ["CLASSES_NOTE", "show_classes"]

CLASSES_NOTE = (
    "Which class pays. T are rows that the original found; kept is 1 − (lost − gained) / T, with "
    "its two one-sided 95 % bounds below. Where no floor names a class, the strictest share that "
    "any floor asks for is set beside it; that is a finding and no promise. The classes that need "
    "a look come first."
)
_MOST = 30  # more would hide the telling ones
_HEADS = ("class", "what it shows", "rows", "T", "lost", "gained", "kept", "recall", "precision")
_WORDS = {
    "holds": "proven",
    "unproven": "not proven",
    "broken": "broken",
    "rare": "too rare",
    "nothing": "nothing to keep",
}
_RANKS = {"broken": 0.0, "unproven": 2.0, "nothing": 3.5, "holds": 4.0}

Line = Mapping[str, Any]


def show_classes(lines: Sequence[Line]) -> Html:
    """Give the classes of the whole set, then those of the slices, the telling ones first.

    Args:
        lines: `classes[]` of the result.

    Returns:
        At most 30 lines of each open, the rest in tables that open on demand; nothing where
        there are no lines.
    """
    whole = [line for line in lines if line["slice"] is None]
    parts = [line for line in lines if line["slice"] is not None]
    if not whole and not parts:
        return Html("")
    said = element("p", {"class": "tally"}, _tally(whole))
    # What all classes together show stands above them, whatever it is.
    totals = [line for line in whole if _is_total(line)]
    ranked = sorted((line for line in whole if not _is_total(line)), key=_rank)
    shown = [*totals, *ranked[:_MOST]]
    blocks = [said, _table(shown), _fold(ranked[_MOST:], "classes")]
    if parts:
        telling = sorted(parts, key=_rank)
        # Slices stay in the order in which they were named, so that each is one block.
        named = list(dict.fromkeys(line["slice"] for line in parts))
        open_ones, rest = (
            sorted(some, key=lambda line: (named.index(line["slice"]), not _is_total(line)))
            for some in (telling[:_MOST], telling[_MOST:])
        )
        blocks += [
            element("h3", {"class": "apart"}, "Slices"),
            _table(open_ones),
            _fold(rest, "lines"),
        ]
    return join(*blocks)


def _is_total(line: Line) -> bool:
    """Say whether a line is about several classes together."""
    return not str(line["metric"]).startswith("recall")


def _kind(line: Line) -> str:
    if not line["trials"]:
        return "nothing"
    if line.get("too_rare") and not (line["is_promised"] and line["verdict"] == "broken"):
        return "rare"
    return str(line["verdict"])


def _rank(line: Line) -> tuple[float, ...]:
    """Give the place among lines: what is below, what lost some, what is nearest to a proof."""
    kind, ends = _kind(line), line.get("interval")
    low = float(ends[0]) if ends else 0.0
    if kind == "rare":  # of hundreds of tiny classes those that lost rows tell, then larger ones
        return (1.0 if line["losses"] else 3.0, -line["losses"], -line["rows"])
    return (_RANKS.get(kind, 2.0), low, -line["rows"])


def _tally(lines: Sequence[Line]) -> str:
    kinds = [_kind(line) for line in lines if not _is_total(line)]
    words = (
        ("broken", "below what is asked"),
        ("rare", "too rare to prove"),
        ("nothing", "with nothing to keep"),
        ("unproven", "not proven"),
        ("holds", "proven"),
    )
    found = [f"{kinds.count(kind):,} {text}" for kind, text in words if kind in kinds]
    many = "class" if len(kinds) == 1 else "classes"
    return f"Of {len(kinds):,} {many}: {', '.join(found)}." if kinds else ""


def _table(lines: Sequence[Line]) -> Html:
    header = element("tr", {}, *(element("th", {"scope": "col"}, head) for head in _HEADS))
    rows, last = [], None
    for line in lines:
        if line["slice"] != last:
            last = line["slice"]
            head = element("th", {"colspan": len(_HEADS), "scope": "rowgroup"}, str(last))
            rows.append(element("tr", {"class": "group"}, head))
        rows.append(_row(line))
    table = element(
        "table", {"class": "classes"}, element("thead", {}, header), element("tbody", {}, *rows)
    )
    return element("div", {"class": "scroll", "tabindex": "0"}, table)


def _fold(lines: Sequence[Line], what: str) -> Html:
    if not lines:
        return Html("")
    summary = element("summary", {}, f"{len(lines):,} more {what}")
    return element("details", {"class": "early"}, summary, _table(lines))


def _row(line: Line) -> Html:
    kind = _kind(line)
    is_total = _is_total(line)
    name = {None: "every row", "flagged": "all that is flagged"}.get(
        line["label"] if is_total else "", str(line["label"])
    )
    before, after = line["original"], line["chosen"]
    cells = [
        show_count(line["rows"]),
        show_count(line["trials"]),
        show_count(line["losses"]),
        show_count(line["gains"]),
        _two(show_percent(line["retention"]), _range(line["interval"])),
        *(
            _two(
                f"{show_percent(before[rate], 1)} → {show_percent(after[rate], 1)}",
                _range(after[f"{rate}_interval"], 1),
            )
            if before[rate] is not None or after[rate] is not None
            else NONE
            for rate in ("recall", "precision")
        ),
    ]
    return element(
        "tr",
        {"class": " ".join((kind, *(["sum"] if is_total else [])))},
        element("th", {"scope": "row"}, name),
        element("td", {"class": "says"}, _badge(line, kind), _reason(line, kind)),
        *(element("td", {}, cell) for cell in cells),
    )


def _badge(line: Line, kind: str) -> Html:
    words = _WORDS.get(kind, kind)
    if kind == "broken" and not line["is_promised"]:
        words = "below"
    style = "unproven" if kind == "rare" else kind
    return element("span", {"class": f"badge {style}"}, words)


def _reason(line: Line, kind: str) -> Html:
    share = f"{100 * line['share']:.6g} %"
    if kind == "rare":
        text = f"{share} takes T ≥ {line['trials_needed']:,} even without a loss: "
        text += f"{line['rows_at_best']:,} test rows at best"
    elif kind == "nothing":
        text = str(line["too_rare"])
    else:
        text = f"{share} promised" if line["is_promised"] else f"against {share}"
    if kind == "unproven" and line.get("rows_needed"):
        text += f": about {line['rows_needed']:,} test rows would do"
    return element("small", {"class": "reason"}, text)


def _two(main: str, below: str) -> Html:
    return join(main, element("small", {"class": "reason"}, below) if below else "")


def _range(ends: Sequence[float] | None, places: int = 2) -> str:
    if not ends:
        return ""
    low = show_bound(ends[0], places=places).removesuffix(" %")
    return f"{low} … {show_bound(ends[1], is_upper=True, places=places)}"

"""The verdict in plain words: promised, measured, proven or not, what it would take, the risk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thinfer.pipeline.report.reading import FloorView, read_floor
from thinfer.pipeline.report.wording import show_bound, show_count, show_percent

__all__ = ["PlainWords", "say_plainly"]

# Of a relative floor and of a fixed one; what stands in braces is filled in.
_PROMISES = {
    "accuracy": (
        "{way} {bound} as many right answers as the original gives",
        "{way} {bound} of all answers are right",
    ),
    "macro_f1": (
        "the mean F1 over the labels is {way} {bound} of the original's",
        "the mean F1 over the labels is {way} {bound}",
    ),
    "recall": (
        "the mean over the labels of the share that is found is {way} {bound} of the original's",
        "the mean over the labels of the share that is found is {way} {bound}",
    ),
    "recall[]": (
        "{way} {bound} as many “{label}” texts are found as the original finds",
        "{way} {bound} of the “{label}” texts are found",
    ),
    "precision[]": (
        "answers “{label}” are right {way} {bound} as often as the original's",
        "{way} {bound} of the answers “{label}” are right",
    ),
    "flagged_recall": (
        "of the texts that must be flagged, {way} {bound} as many are flagged as the original "
        "flags",
        "{way} {bound} of the texts that must be flagged are flagged",
    ),
    "flag_rate": (
        "{way} {bound} as many texts are flagged as the original flags",
        "{way} {bound} of all texts are flagged",
    ),
    "agreement": (
        "the original's answer is given on {way} {bound} of all texts",
        "the original's answer is given on {way} {bound} of all texts",
    ),
}
# What the T rows of a rate are; metrics that are no single rate have none.
_COUNTED = {
    "accuracy": "rows that the original answers right",
    "recall[]": "“{label}” rows that the original finds",
    "flagged_recall": "rows that must be flagged and that the original flags",
    "flag_rate": "rows that the original flags",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainWords:
    """Sentences of plain text, each with its full stop; an empty part has nothing to say.

    Attributes:
        promised: one a floor.
        measured: on how many rows, and one a floor.
        proven: floors that hold.
        open: floors that are not proven.
        broken: floors that the value lies below.
        needed: what it would take to prove what is open.
        risk: what may be lost, how the choice was made, how worn the test set is.
    """

    promised: tuple[str, ...]
    measured: tuple[str, ...]
    proven: tuple[str, ...]
    open: tuple[str, ...]
    broken: tuple[str, ...]
    needed: tuple[str, ...]
    risk: tuple[str, ...]


def say_plainly(result: Mapping[str, Any]) -> PlainWords:
    """Give the verdict as sentences.

    Args:
        result: of `compress`; parts that it does not have are left out.
    """
    floors = [(floor, read_floor(floor)) for floor in result.get("floors") or ()]
    judged = [(floor, view) for floor, view in floors if view.value is not None]
    said: dict[str, list[str]] = {"holds": [], "unproven": [], "broken": []}
    for floor, view in judged:
        said.setdefault(view.verdict, []).append(_conclude(floor, view))
    rows = (result.get("data") or {}).get("test")
    on = [f"On {rows:,} labelled rows that took no part in training or choosing."] if rows else []
    return PlainWords(
        promised=tuple(f"{_promise(floor, view)}." for floor, view in floors),
        measured=tuple(on + [_measure(floor, view) for floor, view in judged]),
        proven=tuple(said["holds"]),
        open=tuple(said["unproven"]),
        broken=tuple(said["broken"]),
        needed=tuple(_list_needed(judged, result.get("classes") or ())),
        risk=tuple(_list_risks(result)),
    )


def _promise(floor: Mapping[str, Any], view: FloorView) -> str:
    forms = _PROMISES.get(_form(floor, view))
    if forms is None:
        return view.expr
    text = forms[0 if view.relative else 1].format(
        way="at least" if view.above else "at most",
        bound=_exact(view.bound),
        label=_label(floor, view),
    )
    return text[0].upper() + text[1:] + _where(floor)


def _where(floor: Mapping[str, Any]) -> str:
    text, part, rate = "", floor.get("slice"), floor.get("fpr")
    if part:
        text += f", among rows with {' = '.join(map(str, part))}"
    if rate is not None:
        text += f", at the threshold that flags {_exact(float(rate))} of the other texts wrongly"
    return text


def _label(floor: Mapping[str, Any], view: FloorView) -> str | None:
    found = floor.get("label", view.key.label)
    return None if found is None else str(found)


def _form(floor: Mapping[str, Any], view: FloorView) -> str:
    return view.key.metric if _label(floor, view) is None else f"{view.key.metric}[]"


def _name(view: FloorView) -> str:
    """Give the left side of the floor, as the user wrote it."""
    return view.expr.rpartition(">=" if view.above else "<=")[0].strip() or view.expr


def _measure(floor: Mapping[str, Any], view: FloorView) -> str:
    before, after = show_percent(floor.get("original")), show_percent(floor.get("value"))
    counted = _COUNTED.get(_form(floor, view))
    if not view.relative or counted is None or floor.get("trials") is None:
        return f"{_name(view)} is {after}; the original's is {before}."
    rows = f"{floor['trials']:,} {counted.format(label=_label(floor, view))}{_where(floor)}"
    kept = show_percent(view.value)
    return f"Of {rows}: {floor['losses']:,} lost, {floor['gains']:,} gained; {kept} kept."


def _conclude(floor: Mapping[str, Any], view: FloorView) -> str:
    name = _name(view)
    of = " of the original's" if view.relative else ""
    asked = _exact(view.bound)
    if view.verdict == "broken" or view.interval is None:
        return f"{name}: {show_percent(view.value)}{of} was measured, {asked} was promised."
    way = "at least" if view.above else "at most"
    nearest = show_bound(view.interval[0 if view.above else 1], is_upper=not view.above)
    return f"{name}: {way} {nearest}{of} with 95 % confidence, {asked} was promised."


def _list_needed(
    judged: Sequence[tuple[Mapping[str, Any], FloorView]], lines: Sequence[Mapping[str, Any]]
) -> list[str]:
    said = [
        f"{_name(view)}: about {floor['rows_needed']:,} labelled test rows, if "
        "they show what these rows show."
        for floor, view in judged
        if view.verdict == "unproven" and floor.get("rows_needed")
    ]
    said += _list_rare(lines)
    return said


def _list_rare(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which classes are too rare, and of which there is nothing to keep."""
    classes = [line for line in lines if str(line["metric"]).startswith("recall")]
    whole = [line for line in classes if line["slice"] is None]
    said = []
    rare = [line for line in whole if line.get("too_rare") and line["trials"]]
    if rare:
        needed = sorted({line["trials_needed"] for line in rare})
        least = " to ".join(f"{count:,}" for count in dict.fromkeys((needed[0], needed[-1])))
        said.append(
            f"{_count(rare, whole)} too rare here to prove as much of, even without one loss "
            f"({_name_some(rare)}): each takes {least} rows that the original finds."
        )
    never = [line for line in whole if line["rows"] and not line["trials"]]
    if never:
        said.append(
            f"{_count(never, whole)} never found by the original ({_name_some(never)}): there is "
            "nothing to keep."
        )
    parts = [line for line in classes if line["slice"] is not None]
    thin = [line for line in parts if line.get("too_rare")]
    if thin:
        said.append(f"In the slices, {len(thin):,} of {len(parts):,} classes are too rare.")
    return said


def _count(some: Sequence[object], every: Sequence[object]) -> str:
    return f"{len(some):,} of {len(every):,} classes {'is' if len(some) == 1 else 'are'}"


def _name_some(lines: Sequence[Mapping[str, Any]]) -> str:
    names = ", ".join(f"“{line['label']}”" for line in lines[:5])
    return f"{names}, …" if len(lines) > 5 else names


def _list_risks(result: Mapping[str, Any]) -> list[str]:
    said = []
    lines = {
        line["label"]: line
        for line in result.get("classes") or ()
        if line["slice"] is None and line["metric"] in ("accuracy", "flagged_recall")
    }
    for label, caught in (("flagged", "catches"), (None, "answers right")):
        line = lines.get(label)
        if line and line.get("interval"):
            said.append(_say_loss(line, caught))
            break
    tried = len(result.get("candidates") or ())
    dev = (result.get("data") or {}).get("dev")
    if tried and result.get("chosen"):
        on = f" on {dev:,} rows of dev" if dev else " on dev"
        forms = "1 form was" if tried == 1 else f"{tried:,} forms were"
        said.append(
            f"{forms} tried{on}, which chose; the test rows judged the chosen one alone, so that "
            "being the best of many does not flatter it."
        )
    times = _count_judgements(result)
    if times:
        often = "once" if times == 1 else f"{times:,} times"
        said.append(
            f"This test set has been judged on {often}, as far as the log of this bundle knows"
            + ("." if times == 1 else "; each further use wears it out.")
        )
    return said


def _say_loss(line: Mapping[str, Any], caught: str) -> str:
    lost = 1.0 - float(line["interval"][0])
    counts = f"{line['losses']:,} lost and {line['gains']:,} gained of {line['trials']:,} rows"
    if lost <= 0:
        return f"With 95 % confidence nothing of what the original {caught} is lost: {counts}."
    thousand = show_count(math.ceil(1e4 * lost - 1e-9) / 10)
    return (
        f"With 95 % confidence at most {thousand} in 1,000 of what the original {caught} is lost: "
        f"{counts}."
    )


def _count_judgements(result: Mapping[str, Any]) -> int:
    digest = (result.get("data") or {}).get("test_digest")
    return sum(item.get("test_digest") == digest for item in result.get("judgements") or ())


def _exact(value: float) -> str:
    """Give a bound as it was written: `99.5 %`, `105 %`."""
    return f"{100 * value:.6g} %"

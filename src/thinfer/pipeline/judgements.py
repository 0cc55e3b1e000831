"""The log of judgements: what each test set was asked, across bundles and runs.

One JSON object a line, in a file of the user. A line holds digests, names and verdicts, no text and
no path. A test set is its digest: copied or renamed, it stays the same one. Equal answers are one
candidate, however often they are judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinfer.quality.reuse import Reuse

__all__ = ["SetUse", "log_judgement"]

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUse:
    """What a test set was used for so far.

    Attributes:
        log: the judgements of the bundle at this place, this one last.
        reuse: how many candidates it has judged, and what that means.
        warnings: sentences for the reader.
    """

    log: tuple[Entry, ...]
    reuse: Reuse
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give `judged`, `error`, `confidence` and `is_worn`."""
        reuse = self.reuse
        return {
            "judged": reuse.judged,
            "error": reuse.error,
            "confidence": reuse.confidence,
            "is_worn": reuse.is_worn,
        }


def log_judgement(place: Path | None, entry: Entry, *, known: Sequence[Entry] = ()) -> SetUse:
    """Write a judgement down and say how worn its test set is.

    A log that cannot be read or written is a warning: the judgement itself is sound.

    Args:
        place: the log, made if absent; None for no log.
        entry: the judgement, with `test_digest` and `answers`.
        known: judgements known from elsewhere, as from an older bundle's manifest.

    Returns:
        How often the test set was used, this time included.
    """
    warnings, written = [], list[Entry]()
    if place is not None:
        try:
            written = _read(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(dict(entry), ensure_ascii=False) + "\n")
        except OSError as error:
            reason = error.strerror or "it is no text file"
            warnings.append(
                f"The log of judgements '{place}' cannot be used ({reason}): how often this "
                "test set has judged is not known."
            )
    digest = entry["test_digest"]
    same = [item for item in (*known, *written, entry) if item.get("test_digest") == digest]
    reuse = Reuse(len({_name(item) for item in same}))
    worn = reuse.explain()
    told = (*warnings, *([worn] if worn else []))
    return SetUse(log=(*known, entry), reuse=reuse, warnings=told)


def _read(place: Path) -> list[Entry]:
    """Give the entries of a log; a line that is none, as after a full disk, is passed over."""
    if not place.exists():
        return []
    found: list[Entry] = []
    for line in place.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            body = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(body, dict):
            found.append(body)
    return found


def _name(entry: Entry) -> str:
    """What was judged: its answers, or in older logs the candidate and when."""
    return str(entry.get("answers") or f"{entry.get('candidate')} {entry.get('at')}")

"""Watches the promised floors in traffic: of what the current version flags, how much is lost.

A floor like `flagged_recall>=99.5%` was proven on test rows. In traffic there are no truths, but
there are the current version's answers: a text that it flags and the other version does not is a
loss. Where L is the share lost of what the current version flags, p the share of its flags that are
true, and t the share of the losses that are: it keeps 1 − L·t/p of its right flags, gains aside.
What is watched is L, against what the floor allows to be lost. So "broken" means: more flags are
lost than the floor allows, which breaks it unless the losses are true less often than flags are
(t < p). Only labels of the lost texts can tell that.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from thinfer.bundle import Manifest
from thinfer.errors import UserError
from thinfer.quality.floor import Floor, parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.sequential import RateWatch

__all__ = ["FloorWatch", "Sighting", "read_watches", "text_key"]

# A floor of 100 % allows no loss, and no rate is exactly 0: a few losses are then enough.
_LEAST = 1e-4
_REMEMBERED = 65_536  # texts; a wave of one text is one text


@dataclass(frozen=True, slots=True)
class Sighting:
    """One text that two versions saw.

    Attributes:
        key: of the text; `text_key` gives it.
        reference: the current version's labels: one, or of a multi-label bundle any number.
        tested: those of the version on watch.
    """

    key: bytes
    reference: tuple[str, ...]
    tested: tuple[str, ...]


class FloorWatch:
    """One floor of one version, watched in traffic.

    Args:
        expr: the floor, as it was promised.
        wanted: labels of the current version whose texts count.
        kept: labels of the watched version that keep such a text.
        allowed: share of these texts that may be lost.
        parts: processes that watch this floor, each on its part of the traffic.
    """

    def __init__(
        self,
        expr: str,
        *,
        wanted: Iterable[str],
        kept: Iterable[str],
        allowed: float,
        parts: int = 1,
    ) -> None:
        self.expr = expr
        self._wanted, self._kept = frozenset(wanted), frozenset(kept)
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.rate = RateWatch(max(allowed, _LEAST), parts=parts)

    def add(self, sightings: Sequence[Sighting]) -> tuple[int, int]:
        """Take note of texts; each text counts once, however often it comes.

        Args:
            sightings: of one request.

        Returns:
            How many of them counted, and how many of these were lost.
        """
        lost = counted = 0
        for item in sightings:
            if self._wanted.isdisjoint(item.reference) or self._is_known(item.key):
                continue
            counted += 1
            lost += self._kept.isdisjoint(item.tested)
        self.rate.add(lost, counted)
        return counted, lost

    def explain(self) -> str | None:
        """Say that the floor is credibly broken; None while it is not."""
        if not self.rate.is_broken:
            return None
        return (
            f"{self.rate.events} of {self.rate.trials} texts that the current version flags were "
            f"lost; '{self.expr}' allows {self.rate.bound:.2%} (evidence "
            f"{self.rate.evidence:.3g}, stop at {self.rate.needed:g})"
        )

    def describe(self) -> dict[str, Any]:
        """Give the state of the watch as JSON."""
        return {
            "expr": self.expr,
            "allowed": self.rate.bound,
            "samples": self.rate.trials,
            "losses": self.rate.events,
            "e_value": self.rate.evidence,
            "stop_at": self.rate.needed,
        }

    def _is_known(self, key: bytes) -> bool:
        is_known = key in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return is_known


def read_watches(tested: Manifest, current: Manifest, *, parts: int = 1) -> tuple[FloorWatch, ...]:
    """Give a watch for each promised floor that traffic can speak of.

    Those are relative floors on `flagged_recall` and on `recall[LABEL]`. Where the version was
    promised nothing (it was packed), the floors of the current one stand for it.

    Args:
        tested: manifest of the version on watch.
        current: manifest of the version that it is compared with.
        parts: processes of the service.
    """
    for manifest in (tested, current):
        labels = manifest.label_set
        found = [floor for floor in _parse(manifest, labels) if _is_watchable(floor)]
        if found:
            return tuple(
                FloorWatch(
                    floor.expr,
                    wanted=_names(floor, current.labels, labels.normal),
                    kept=_names(floor, tested.labels, labels.normal),
                    allowed=1.0 - floor.bound,
                    parts=parts,
                )
                for floor in found
            )
    return ()


def text_key(text: str, pair: str | None) -> bytes:
    """Give what a text is known by, without keeping it: 8 bytes.

    Args:
        text: the text.
        pair: its pair, if there is one.
    """
    raw = f"{text}\0{pair}" if pair is not None else text
    return hashlib.blake2b(raw.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _parse(manifest: Manifest, labels: LabelSet) -> list[Floor]:
    """Read the floors; one that this version of thinfer cannot read is not watched."""
    found = []
    for expr in manifest.quality.get("floors", ()):
        try:
            found.append(parse_floor(str(expr), labels))
        except UserError:
            continue
    return found


def _is_watchable(floor: Floor) -> bool:
    is_recall = floor.metric == "flagged_recall" or (floor.metric == "recall" and floor.label)
    # Traffic does not say of which slice a text is.
    return bool(is_recall and floor.relative and floor.bound <= 1 and floor.slice is None)


def _names(floor: Floor, names: Sequence[str], normal: str | None) -> list[str]:
    if floor.label is not None:
        return [floor.label]
    return [name for name in names if name != normal]

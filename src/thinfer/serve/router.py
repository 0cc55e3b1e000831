"""The one place that maps a request to the version which answers it.

A plain data structure on the event loop's thread: each change is one assignment between two
requests, so a request sees the versions before it or after it, never a mixture.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from thinfer.serve.errors import InvalidBodyError, UnknownVersionError, VersionInUseError
from thinfer.serve.version import Version

__all__ = ["Router"]

_SUM_SLACK = 1e-6


class Router:
    """Knows the loaded versions and their shares of the traffic.

    Args:
        version: the one that answers.
        rng: deals the requests that bring no key.
    """

    def __init__(self, version: Version, *, rng: np.random.Generator) -> None:
        self._rng = rng
        self._loaded = {version.name: version}
        self._current = version
        self._previous: Version | None = None
        self._shadow: Version | None = None
        self._split: dict[str, float] = {version.name: 1.0}

    @property
    def current(self) -> Version:
        """The version that answers where nothing else is said."""
        return self._current

    @property
    def previous(self) -> Version | None:
        """The version that a rollback would bring back."""
        return self._previous

    @property
    def shadow(self) -> Version | None:
        """The version that sees the traffic and answers none of it."""
        return self._shadow

    @property
    def split(self) -> Mapping[str, float]:
        """Share of the traffic by version; the shares add up to 1."""
        return MappingProxyType(self._split)

    @property
    def loaded(self) -> Mapping[str, Version]:
        """All versions by name, in the order of their loading."""
        return MappingProxyType(self._loaded)

    @property
    def waiting(self) -> int:
        """Texts that wait for any engine."""
        return sum(version.batcher.waiting for version in self._loaded.values())

    def find(self, name: str) -> Version:
        """Give a loaded version.

        Args:
            name: first 12 digits of its content digest.

        Raises:
            UnknownVersionError: none has that name.
        """
        if name not in self._loaded:
            what = "no loaded version has this name"
            raise UnknownVersionError(
                what, expected=f"one of {sorted(self._loaded)}", got=name[:40]
            )
        return self._loaded[name]

    def choose(self, *, use: str | None = None, key: str | None = None) -> Version:
        """Give the version that shall answer one request.

        Args:
            use: the name of a version that the request asks for.
            key: requests of the same key go to the same version as long as the split stands,
                and a growing share takes keys over without moving others.

        Raises:
            UnknownVersionError: none has the name asked for.
        """
        if use is not None:
            return self.find(use)
        if len(self._split) == 1:
            return self._loaded[next(iter(self._split))]
        point = float(self._rng.random()) if key is None else _place_of(key)
        for name, share in self._split.items():
            point -= share
            if point < 0:
                return self._loaded[name]
        return self._current  # rounding at the very end

    def add(self, version: Version) -> None:
        """Take in a version that answers nothing yet."""
        self._loaded[version.name] = version

    def switch(self, name: str) -> Version | None:
        """Let a loaded version answer everything; ends a split and a shadow.

        Args:
            name: of the version.

        Returns:
            A version that no one needs any more, for the caller to drop; None if there is none.
        """
        version, old, older = self.find(name), self._current, self._previous
        if version is old:
            self._split, self._shadow = {name: 1.0}, None
            return None
        self._current, self._previous = version, old
        self._split, self._shadow = {name: 1.0}, None
        return older if older is not version else None

    def set_split(self, shares: Mapping[str, float], *, shadow: str | None) -> None:
        """Deal the traffic among loaded versions.

        Args:
            shares: name → share above 0; they add up to 1.
            shadow: a version that sees the traffic and answers none of it.

        Raises:
            UnknownVersionError: a name is not loaded.
            InvalidBodyError: the shares are impossible, or the shadow answers too.
        """
        for name in [*shares, *([shadow] if shadow is not None else [])]:
            self.find(name)
        total = sum(shares.values())
        good = all(math.isfinite(share) and share > 0 for share in shares.values())
        if not good or abs(total - 1) > _SUM_SLACK:
            what = "the shares of the versions make no sense"
            raise InvalidBodyError(what, expected="each above 0, together 1", got=f"{total:g}")
        if shadow in shares:
            what = "a version cannot answer and be the shadow at once"
            raise InvalidBodyError(what, got=str(shadow))
        # The current version stands last: an arm's keys stay its own while its share grows.
        names = sorted(shares, key=lambda name: (name == self._current.name, name))
        self._split = {name: shares[name] / total for name in names}
        self._shadow = self._loaded[shadow] if shadow is not None else None
        if self._current.name not in shares:
            # Whoever has the most is the reference, and answers what has no other home.
            self._previous = self._current
            self._current = self._loaded[max(self._split, key=lambda name: self._split[name])]

    def restore(
        self,
        current: str,
        *,
        previous: str | None,
        split: Mapping[str, float],
        shadow: str | None,
    ) -> None:
        """Take over the state of another router over the same versions.

        Raises:
            UnknownVersionError: a name is not loaded.
        """
        names = [current, *split, *(name for name in (previous, shadow) if name is not None)]
        for name in names:
            self.find(name)
        self._current = self._loaded[current]
        self._previous = None if previous is None else self._loaded[previous]
        self._shadow = None if shadow is None else self._loaded[shadow]
        self._split = dict(split)

    def stop_arm(self, name: str) -> None:
        """Give an arm's share to the current version."""
        rest = {other: share for other, share in self._split.items() if other != name}
        rest[self._current.name] = rest.get(self._current.name, 0.0) + self._split.get(name, 0.0)
        self._split = rest

    def stop_shadow(self) -> None:
        """Let no version see the traffic beside those that answer."""
        self._shadow = None

    def drop(self, name: str) -> Version:
        """Forget a version that answers nothing; the caller closes it.

        Args:
            name: of the version.

        Raises:
            UnknownVersionError: it is not loaded.
            VersionInUseError: it answers, or is the shadow.
        """
        version = self.find(name)
        if version is self._current or version is self._shadow or name in self._split:
            what = "this version is in use"
            do = "switch, or change the split, first"
            raise VersionInUseError(what, got=name, do=do)
        del self._loaded[name]
        if version is self._previous:
            self._previous = None
        return version


def _place_of(key: str) -> float:
    """A point in 0 … 1 that depends on the key alone, so that it is the same in all processes."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64

"""`Budget`: of the texts of the last while, only a share may go on."""

from __future__ import annotations

import math
from collections import deque

from thinfer.core.clock import Clock

__all__ = ["Budget"]

PARTS = 60  # of the window; a part is forgotten as a whole
FEWEST = 20  # texts: below so many a share says little, and costs little


class Budget:
    """A cap on the share of texts over a sliding window.

    Note:
        At any moment, sent ≤ share · max(seen, 20), both over the window.

    Args:
        share: 0 … 1; 1 lets everything through.
        window_s: length of the window in seconds; it slides in steps of a sixtieth.
        clock: moves the window.
    """

    def __init__(self, share: float, *, window_s: float, clock: Clock) -> None:
        self._share, self._part_s, self._clock = share, window_s / PARTS, clock
        self._parts: deque[list[int]] = deque()  # [number of the part, seen, sent]
        self._seen = self._sent = 0

    def see(self, texts: int) -> None:
        """Count texts that came in, whoever answers them."""
        self._part()[1] += texts
        self._seen += texts

    def take(self, wanted: int) -> int:
        """Take leave for texts to go on.

        Args:
            wanted: how many, already counted by `see`.

        Returns:
            For how many there is leave, 0 … `wanted`.
        """
        part = self._part()
        if self._share >= 1.0:
            granted = wanted
        else:
            allowed = math.floor(self._share * max(self._seen, FEWEST) + 1e-9)
            granted = max(0, min(wanted, allowed - self._sent))
        part[2] += granted
        self._sent += granted
        return granted

    def _part(self) -> list[int]:
        """Forget what has left the window and give the newest part."""
        now = math.floor(self._clock.monotonic() / self._part_s)
        while self._parts and self._parts[0][0] <= now - PARTS:
            _, seen, sent = self._parts.popleft()
            self._seen -= seen
            self._sent -= sent
        if not self._parts or self._parts[-1][0] != now:
            self._parts.append([now, 0, 0])
        return self._parts[-1]

"""torch's number of threads belongs to the whole process: an engine borrows it."""

from __future__ import annotations

import torch

__all__ = ["TorchThreads"]


class TorchThreads:
    """The number of threads of one engine's calls.

    Args:
        threads: of one call.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._before: int | None = None

    def take(self) -> None:
        """Let torch use so many threads from now on."""
        present = torch.get_num_threads()
        if present != self._threads:
            if self._before is None:
                self._before = present
            torch.set_num_threads(self._threads)

    def give_back(self) -> None:
        """Let torch use as many as before, or what comes next differs in speed and last bit."""
        if self._before is not None:
            torch.set_num_threads(self._before)
            self._before = None

from __future__ import annotations

from thinfer.core.progress import Progress, SilentProgress


def test_silent_progress_says_nothing() -> None:
    progress: Progress = SilentProgress()
    with progress.task("work", 3) as advance:
        advance(2)
    progress.note("done")

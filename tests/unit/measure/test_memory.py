from __future__ import annotations

import sys

import numpy as np
import pytest

from thinfer.errors import EngineError
from thinfer.measure.memory import peak_rss_of

MIB = 2**20


def test_peak_is_that_of_the_child_alone() -> None:
    ballast = np.ones(200 * MIB, dtype=np.uint8)  # ours, and not the child's
    small = peak_rss_of([sys.executable, "-S", "-c", "pass"])
    large = peak_rss_of([sys.executable, "-S", "-c", f"x = b'1' * {64 * MIB}; del x; print(1)"])
    assert small < 60 * MIB
    assert large - small == pytest.approx(64 * MIB, rel=0.1)
    assert ballast[-1] == 1


def test_a_failure_is_told_with_its_last_line() -> None:
    with pytest.raises(EngineError, match="no such bundle"):
        peak_rss_of([sys.executable, "-c", "raise SystemExit('no such bundle')"])
    with pytest.raises(EngineError):
        peak_rss_of(["/nowhere/program"])


def test_a_program_that_does_not_end_is_killed() -> None:
    with pytest.raises(EngineError, match="too long"):
        peak_rss_of([sys.executable, "-S", "-c", "import time; time.sleep(60)"], timeout_s=1.0)

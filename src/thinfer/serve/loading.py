"""From a bundle on disk to a version that may be switched to; everything that can fail, fails here.

The old version answers all the while: this runs in a thread beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle import open_bundle
from thinfer.classifier import Classifier
from thinfer.core.clock import Clock
from thinfer.errors import ThinferError
from thinfer.quality.answers import encode_answers
from thinfer.serve.errors import BundleRefusedError, NotReadyError
from thinfer.serve.ticket import Permit
from thinfer.serve.version import Version
from thinfer.serve.waiting import Priority

__all__ = ["Opener", "infer_golden", "load_checked"]

Opener = Callable[[Path], Classifier]

_REPEATS = 5
_SLACK_S = 20e-6  # a token; calls of some microseconds cannot be told apart


def load_checked(
    path: Path, opener: Opener, *, beside: Classifier, max_slowdown: float, clock: Clock
) -> Classifier:
    """Open a bundle, verify every byte, run its golden set, and see that its speed is sane.

    Args:
        path: of the bundle.
        opener: opens with the service's engine and threads; verifies digests and golden set.
        beside: the classifier that answers now.
        max_slowdown: time a golden token at most, as a multiple of the present classifier's.
        clock: measures both.

    Returns:
        The open classifier; the caller closes it.

    Raises:
        BundleRefusedError: any of it failed; the message says what.
    """
    try:
        classifier = opener(path)
    except ThinferError as error:
        what = "the bundle was refused; the present version goes on"
        raise BundleRefusedError(what, got=str(error)) from error
    try:
        # Engines open files by name after the first check: what was replaced meanwhile shows now.
        again = open_bundle(path)
        if again.version != classifier.version:
            what = "the bundle changed while it was loaded; the present version goes on"
            raise BundleRefusedError(what, expected=classifier.version, got=again.version)
        _check_speed(classifier, beside, max_slowdown=max_slowdown, clock=clock)
    except ThinferError as error:
        classifier.close()
        if isinstance(error, BundleRefusedError):
            raise
        what = "the bundle was refused; the present version goes on"
        raise BundleRefusedError(what, got=str(error)) from error
    return classifier


async def infer_golden(version: Version, *, timeout_s: float) -> None:
    """Run one golden row through a version's queue, before all others.

    Args:
        version: whose worker runs.
        timeout_s: seconds that the answer may take.

    Raises:
        NotReadyError: it failed, took too long, or gave another label than the reference.
    """
    batch, expected = version.classifier.bundle.golden()
    row = batch.select(range(1))
    ticket = version.batcher.submit(row, Permit(places=0), priority=Priority.PROBE)
    try:
        async with asyncio.timeout(timeout_s):
            logits = await ticket.done
    except TimeoutError as error:
        what = "an inference took too long"
        raise NotReadyError(what, expected=f"at most {timeout_s:g} s") from error
    finally:
        version.batcher.leave(ticket)
    several = version.classifier.decider.labels.is_multi_label
    found, wanted = (encode_answers(each, is_multi_label=several) for each in (logits, expected))
    if found[0] != wanted[0]:  # of the bare logits: golden rows lie clear of no threshold
        what = "an inference gave another label than the reference"
        raise NotReadyError(what, got=f"answer {int(found[0])}")


def _check_speed(
    classifier: Classifier, beside: Classifier, *, max_slowdown: float, clock: Clock
) -> None:
    """Compare the times of the golden sets in turn, so that a busy moment meets both.

    Raises:
        BundleRefusedError: the new one is far slower.
    """
    own = other = np.full(1, np.inf)
    for _ in range(_REPEATS):
        # Row by row the best of all turns: under load no whole turn is left alone.
        own = np.minimum(own, _time_golden(classifier, clock))
        other = np.minimum(other, _time_golden(beside, clock))
        time.sleep(0)  # other threads of the service go first
    times = [
        float(np.sum(rows)) / len(side.bundle.golden()[0].ids)
        for side, rows in ((classifier, own), (beside, other))
    ]
    if times[0] > max_slowdown * times[1] + _SLACK_S:
        what = "the bundle is far slower than the present version, which goes on"
        expected = f"at most {max_slowdown:g} times its time a golden token"
        raise BundleRefusedError(what, expected=expected, got=f"{times[0] / times[1]:.1f} times")


def _time_golden(classifier: Classifier, clock: Clock) -> NDArray[np.float64]:
    """Seconds of each row of the golden set, a row a call, as single requests come."""
    batch, _ = classifier.bundle.golden()
    seconds = np.empty(len(batch))
    for row in range(len(batch)):
        single = batch.select(range(row, row + 1))
        started = clock.monotonic()
        classifier.engine.run(single)
        seconds[row] = clock.monotonic() - started
    return seconds

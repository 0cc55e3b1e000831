"""Watches each version while it answers, and says when one must be taken off.

Four promises: its requests do not fail, they do not take much longer than those of the version
it is compared with, its labels do not differ from that one's more than was declared, and of what
that one flags it loses no more than its floors allow. The last two are judged by evidence that may
be looked at after every text (`quality/sequential.py`). A shadow answers nothing: only the last
promise can stop it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from thinfer.quality.sequential import RateWatch
from thinfer.serve.floors import FloorWatch, read_watches
from thinfer.serve.router import Router

__all__ = ["ArmLimits", "ArmRecord", "Watch", "judge_arm"]

_REMEMBERED = 200  # requests whose times are compared
_FEWEST = 50  # requests of each side before their times say anything
_SLACK_S = 0.005  # a request of some microseconds may double without harm


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLimits:
    """What a version may not do.

    Attributes:
        min_agreement: share of texts with the label of the current version, at least.
        max_slowdown: its median request over the other's, at most.
        max_failures: failed requests at most, where they are also more than one in a hundred.
    """

    min_agreement: float
    max_slowdown: float
    max_failures: int = 2


@dataclass(slots=True, eq=False, kw_only=True)
class ArmRecord:
    """What is known of one version.

    Attributes:
        watch: texts compared with another version, and those with another label.
        floors: the promised floors that traffic can speak of, each with its own watch.
        requests: answered or failed.
        failures: of these, failed by the engine.
        seconds: of the last requests, waiting included.
    """

    watch: RateWatch
    floors: tuple[FloorWatch, ...] = ()
    requests: int = 0
    failures: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def add(self, seconds: float | None) -> None:
        """Take note of a request.

        Args:
            seconds: from admission to logits; None where the engine failed.
        """
        self.requests += 1
        if seconds is None:
            self.failures += 1
        else:
            self.seconds.append(seconds)


def judge_arm(arm: ArmRecord, reference: ArmRecord, limits: ArmLimits) -> str | None:
    """Say why a version must be taken off; None while it may stay.

    Args:
        arm: the version's record.
        reference: of the version that it is compared with.
        limits: what it may not do.
    """
    if arm.failures > limits.max_failures and arm.failures * 100 > arm.requests:
        return f"{arm.failures} of {arm.requests} requests failed"
    if arm.watch.is_broken:
        events, trials = arm.watch.events, arm.watch.trials
        return (
            f"{events} of {trials} texts got another label than from the current version; at most "
            f"{1 - limits.min_agreement:.1%} may (evidence {arm.watch.evidence:.3g}, "
            f"stop at {arm.watch.needed:g})"
        )
    lost = next((said for floor in arm.floors if (said := floor.explain())), None)
    if lost is not None:
        return lost
    if min(len(arm.seconds), len(reference.seconds)) < _FEWEST:
        return None
    own, other = median(arm.seconds), median(reference.seconds)
    if own > limits.max_slowdown * other + _SLACK_S:
        return (
            f"its median request takes {1e3 * own:.1f} ms, that of the other {1e3 * other:.1f} ms; "
            f"at most {limits.max_slowdown:g} times as long is allowed"
        )
    return None


class Watch:
    """The records of all versions, and which of them is on trial after a switch.

    Args:
        router: says who answers what.
        limits: what a version may not do.
        trial_requests: after so many, a version just switched to has proved itself.
        parts: processes of the service, each of which watches its own part of the traffic.
    """

    def __init__(
        self, router: Router, limits: ArmLimits, *, trial_requests: int, parts: int = 1
    ) -> None:
        self._parts = parts
        self._router, self._limits, self._trial_requests = router, limits, trial_requests
        self._records: dict[str, ArmRecord] = {}
        self._on_trial: str | None = None

    def record_of(self, name: str) -> ArmRecord:
        """Give the record of a version; the first call makes it."""
        if name not in self._records:
            watch = RateWatch(1 - self._limits.min_agreement, parts=self._parts)
            self._records[name] = ArmRecord(watch=watch, floors=self._watch_floors(name))
        return self._records[name]

    def forget(self, name: str) -> None:
        """Drop a record."""
        self._records.pop(name, None)

    def start_anew(self) -> None:
        """Drop all records: the shares have changed, and with them what times mean."""
        self._records.clear()

    def start_trial(self, name: str) -> None:
        """Watch a version that now answers everything; the others' records stand."""
        self.forget(name)
        self._on_trial = name

    def end_trial(self) -> None:
        """Trust the current version."""
        self._on_trial = None

    def judge(self, name: str) -> str | None:
        """Say why a version must be taken off, if it is an arm, shadow or on trial; else None."""
        router, record = self._router, self.record_of(name)
        if router.shadow is not None and name == router.shadow.name:
            return next((said for floor in record.floors if (said := floor.explain())), None)
        if name != router.current.name:
            reference = self.record_of(router.current.name)
            return judge_arm(record, reference, self._limits) if name in router.split else None
        if name != self._on_trial or router.previous is None:
            return None
        if record.requests >= self._trial_requests:
            self.end_trial()
        return judge_arm(record, self.record_of(router.previous.name), self._limits)

    def _watch_floors(self, name: str) -> tuple[FloorWatch, ...]:
        version, current = self._router.loaded.get(name), self._router.current
        if version is None or version is current:
            return ()
        manifests = [item.classifier.bundle.manifest for item in (version, current)]
        return read_watches(*manifests, parts=self._parts)

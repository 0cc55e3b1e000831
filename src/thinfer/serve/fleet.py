"""Loads, switches, rolls back, splits and unloads versions, one change at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thinfer.classifier import Classifier
from thinfer.core.clock import Clock
from thinfer.serve.arms import ArmLimits, Watch
from thinfer.serve.errors import (
    BundleRefusedError,
    NotReadyError,
    SwapBusyError,
    VersionInUseError,
)
from thinfer.serve.events import EventLog
from thinfer.serve.floors import Sighting
from thinfer.serve.loading import Opener, infer_golden, load_checked
from thinfer.serve.observe import Metrics
from thinfer.serve.peers import Place
from thinfer.serve.router import Router
from thinfer.serve.settings import ServeSettings
from thinfer.serve.snapshot import Loaded, describe_version, missing_labels, name_of, read_state
from thinfer.serve.version import Version

__all__ = ["Fleet", "Loaded"]


class Fleet:
    """The versions of one service and what may be done with them.

    Args:
        router: maps requests to versions.
        settings: of the service.
        opener: opens a bundle with the service's engine and threads.
        build: puts a queue in front of an open classifier.
        metrics: where it counts.
        clock: measures loading.
    """

    def __init__(
        self,
        router: Router,
        settings: ServeSettings,
        *,
        opener: Opener,
        build: Callable[[Classifier], Version],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.router, self._settings, self._metrics = router, settings, metrics
        self._opener, self._build, self._clock = opener, build, clock
        self._lock = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self.events = EventLog(clock, lambda kind: metrics.swaps.labels(kind).inc())
        limits = ArmLimits(
            min_agreement=settings.arm_min_agreement, max_slowdown=settings.arm_max_slowdown
        )
        parts = 1 if settings.place is None else Place.decode(settings.place).count
        self._watch = Watch(router, limits, trial_requests=settings.trial_requests, parts=parts)
        self.on_own_change: Callable[[], None] = lambda: None  # told when no operator asked for it
        self._tell_metrics()

    def start(self) -> None:
        """Start the workers of the first version; called once, on the running event loop."""
        self.router.current.batcher.start()

    async def stop(self) -> None:
        """End all workers and free all engines."""
        for version in tuple(self.router.loaded.values()):
            await version.close(timeout_s=0.0)
        for task in tuple(self._closing):
            await task

    async def load(self, path: Path, *, is_activated: bool) -> Loaded:
        """Load, verify, warm and try a bundle beside the present one, then switch to it.

        Args:
            path: of the bundle.
            is_activated: False only loads it, for a split or a shadow.

        Returns:
            What came of it; the old version drains behind.

        Raises:
            SwapBusyError: another bundle is being loaded.
            BundleRefusedError: a check failed, or too many versions are loaded.
        """
        if self._lock.locked():
            what = "another bundle is being loaded"
            raise SwapBusyError(what, do="try again when it is done")
        async with self._lock:
            started = self._clock.monotonic()
            before = self.router.current
            try:
                version = await self._take_in(path)
            except BundleRefusedError as error:
                self.events.add("refused", path.name, str(error))
                raise
            if is_activated:
                self._switch(version.name)
            if self.router.current is not before:
                self.events.add("switched", version.name)
            return Loaded(
                version=version.name,
                previous=name_of(self.router.previous),
                changed=self.router.current is not before,
                labels_added=missing_labels(version, before),
                labels_removed=missing_labels(before, version),
                seconds=self._clock.monotonic() - started,
            )

    def roll_back(self) -> None:
        """Let the version before the last switch answer again.

        Raises:
            VersionInUseError: there is none.
        """
        previous = self.router.previous
        if previous is None:
            what = "there is no version to go back to"
            raise VersionInUseError(what, do="load its bundle again")
        self._switch(previous.name)
        self._watch.end_trial()  # the operator's own choice is not undone by a counter
        self.events.add("rolled_back", previous.name)

    def set_split(self, shares: Mapping[str, float], *, shadow: str | None) -> None:
        """Deal the traffic anew; the comparisons start anew with it.

        Raises:
            UnknownVersionError: a name is not loaded.
            InvalidBodyError: the shares are impossible.
        """
        self.router.set_split(shares, shadow=shadow)
        self._watch.end_trial()
        self._watch.start_anew()
        self._metrics.floor_evidence.clear()
        parts = ", ".join(f"{name} {share:.3g}" for name, share in self.router.split.items())
        self.events.add("split", parts, f"shadow {shadow}" if shadow else "")
        self._tell_metrics()

    def unload(self, name: str) -> None:
        """Drop a version that answers nothing; its last requests are waited for behind.

        Raises:
            UnknownVersionError: it is not loaded.
            VersionInUseError: it answers, or is the shadow.
        """
        self._close_behind(self.router.drop(name))
        self.events.add("unloaded", name)
        self._tell_metrics()

    def note_request(self, name: str, seconds: float | None) -> None:
        """Take note of a request that a version answered, and take the version off if need be.

        Args:
            name: of the version.
            seconds: from admission to logits; None where the engine failed.
        """
        self._watch.record_of(name).add(seconds)
        self._act(name)

    def note_comparison(self, name: str, sightings: Sequence[Sighting]) -> None:
        """Take note of texts that an arm or the shadow and the current version have both seen.

        Args:
            name: of the arm or the shadow.
            sightings: the texts with both labels.
        """
        record = self._watch.record_of(name)
        differed = sum(item.reference != item.tested for item in sightings)
        record.watch.add(differed, len(sightings))
        for floor in record.floors:
            counted, lost = floor.add(sightings)
            self._metrics.count_floor(name, floor.expr, counted=counted, lost=lost)
            self._metrics.floor_evidence.labels(name, floor.expr).set(floor.rate.evidence)
        self._act(name)

    def state(self) -> dict[str, Any]:
        """Give what another process needs to answer in the same way."""
        return {**read_state(self.router), "events": self.events.to_list()}

    async def follow(self, state: Mapping[str, Any]) -> None:
        """Take over the state of another process of this service.

        Args:
            state: as `state` gives it.

        Raises:
            BundleRefusedError: a bundle fails its checks here, or is another one by now.
            UnknownVersionError: the state names a version that it does not hold.
        """
        async with self._lock:
            with self.events.following(state["events"]):
                await self._take_over(state)

    def describe(self) -> dict[str, Any]:
        """Give the versions, the split and the events, as the admin route shows them."""
        versions = [
            describe_version(version, self.router, self._watch.record_of(version.name))
            for version in self.router.loaded.values()
        ]
        state = {name: value for name, value in self.state().items() if name != "loaded"}
        return {**state, "versions": versions}

    async def _take_over(self, state: Mapping[str, Any]) -> None:
        """Load what is missing, restore the router, and drop what the others have dropped."""
        for name, path in state["loaded"].items():
            if name not in self.router.loaded:
                version = await self._take_in(Path(path))
                if version.name != name:
                    what = "the bundle is another one by now"
                    raise BundleRefusedError(what, expected=name, got=version.name)
        before, watched = self.router.current, self._watched()
        self.router.restore(
            state["current"],
            previous=state["previous"],
            split=state["split"],
            shadow=state["shadow"],
        )
        if self._watched() - watched:
            self._watch.start_anew()  # with a new arm or shadow, as where the operator asked for it
        if self.router.current is not before:
            self._watch.start_trial(self.router.current.name)
        for name in set(self.router.loaded) - set(state["loaded"]):
            self.unload(name)
        self._tell_metrics()

    def _watched(self) -> set[str | None]:
        """The versions that answer or see texts."""
        return {*self.router.split, name_of(self.router.shadow)}

    async def _take_in(self, path: Path) -> Version:
        """Give a loaded version of the bundle that has answered its own probe."""
        router, settings = self.router, self._settings
        beside = router.current
        with beside.hold():  # it may be taken off meanwhile, but not closed
            classifier = await asyncio.to_thread(
                load_checked,
                path,
                self._opener,
                beside=beside.classifier,
                max_slowdown=settings.swap_max_slowdown,
                clock=self._clock,
            )
        if classifier.version in router.loaded:
            classifier.close()
            return router.find(classifier.version)
        if len(router.loaded) >= settings.max_versions and not self._make_room():
            classifier.close()
            what = "too many versions are loaded"
            raise BundleRefusedError(
                what,
                expected=f"fewer than {settings.max_versions}",
                do="unload one with DELETE /admin/versions/NAME",
            )
        version = self._build(classifier)
        version.batcher.start()
        try:
            await infer_golden(version, timeout_s=settings.ready_timeout_s)
        except NotReadyError as error:
            await version.close(timeout_s=0.0)
            what = "the bundle's first inference failed; the present version goes on"
            raise BundleRefusedError(what, got=str(error)) from error
        router.add(version)
        self.events.add("loaded", version.name)
        self._tell_metrics()
        return version

    def _make_room(self) -> bool:
        """Drop the version kept for a rollback, if it is all that can go."""
        previous = self.router.previous
        in_use = {self.router.shadow, *(self.router.find(name) for name in self.router.split)}
        if previous is None or previous in in_use:
            return False
        self.unload(previous.name)
        return True

    def _switch(self, name: str) -> None:
        old = self.router.current
        left = self.router.switch(name)
        if self.router.current is not old:
            self._watch.start_trial(name)
        if left is not None:
            self.unload(left.name)
        self._tell_metrics()

    def _act(self, name: str) -> None:
        """Take off an arm, a shadow, or a version just switched to, that breaks a promise."""
        reason = self._watch.judge(name)
        if reason is None:
            return
        previous = self.router.previous
        if self.router.shadow is not None and name == self.router.shadow.name:
            self.router.stop_shadow()
            self.events.add("shadow_stopped", name, reason)
        elif name != self.router.current.name:
            self.router.stop_arm(name)
            self.events.add("arm_stopped", name, reason)
        elif previous is not None:
            self._switch(previous.name)
            self._watch.end_trial()
            self.events.add("auto_rollback", previous.name, f"{name}: {reason}")
            self.unload(name)  # a later rollback must not bring it back
        self._tell_metrics()
        self.on_own_change()

    def _close_behind(self, version: Version) -> None:
        self._watch.forget(version.name)
        timeout_s = self._settings.drain_timeout_s

        async def close() -> None:
            await version.close(timeout_s)
            if version.name not in self.router.loaded:
                self._metrics.forget(version.name)

        task = asyncio.get_running_loop().create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _tell_metrics(self) -> None:
        for version in self.router.loaded.values():
            info = version.classifier.engine.info
            self._metrics.show_version(
                version.name,
                engine=info.name,
                precision=info.precision,
                share=self.router.split.get(version.name, 0.0),
            )

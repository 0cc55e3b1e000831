"""From texts to logits: admit, tokenise, queue, wait for the answer or for the client to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from starlette.requests import Request

from thinfer.classifier import Prediction
from thinfer.core.clock import Clock
from thinfer.errors import EngineError
from thinfer.serve.asked import Asked, read_asked
from thinfer.serve.cache import SharedTicket, TextCache
from thinfer.serve.cascade import Cascade, Relay
from thinfer.serve.drift import DriftWatch
from thinfer.serve.errors import ClientGoneError, LateError, TooManyWindowsError
from thinfer.serve.fleet import Fleet
from thinfer.serve.gate import GateStage
from thinfer.serve.lifecycle import Lifecycle
from thinfer.serve.middleware import Trace, trace_of
from thinfer.serve.observe import Metrics
from thinfer.serve.probe import Probe
from thinfer.serve.rowstore import RowStore
from thinfer.serve.settings import ServeSettings
from thinfer.serve.shadow import Shadow
from thinfer.serve.ticket import Logits, Permit, Ticket
from thinfer.serve.version import Version
from thinfer.text.batch import Batch
from thinfer.text.encoding import Encoding
from thinfer.text.long_text import LongText

__all__ = ["Answered", "Service"]

# Shorter requests are tokenised on the event loop: the hop to a thread would cost more.
INLINE_CHARACTERS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answer to one request.

    Attributes:
        version: that gave it.
        logits: float32 `[texts, classes]`.
        encoded: the texts as they were run.
        relay: who gave which row, where a cascade is at work; its logits stand in `logits`.
    """

    version: Version
    logits: Logits
    encoded: Encoding
    relay: Relay | None = None

    def predictions(self) -> list[Prediction]:
        """Give label and scores of each text."""
        return self.version.classifier.to_predictions(self.logits, self.encoded)


class Service:
    """What the routes talk to.

    Args:
        fleet: the versions; its router gives the one for a request.
        settings: of the service.
        metrics: where it counts.
        clock: measures tokenising and waiting.
        rng: draws the requests that a second version sees.
        cascade: asks a bigger model where the version that answers is unsure.
        gate: answers what it knows before the engine is asked.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: ServeSettings,
        *,
        metrics: Metrics,
        clock: Clock,
        rng: np.random.Generator,
        cascade: Cascade | None = None,
        gate: GateStage | None = None,
    ) -> None:
        self.fleet, self.settings, self.metrics = fleet, settings, metrics
        self.router, self.cascade, self.gate = fleet.router, cascade, gate
        # Fixed at the start: another version of the model keeps its name.
        folder = self.router.current.classifier.bundle.path.resolve().name
        self.model_name = settings.model_name or folder or "model"
        self.lifecycle = Lifecycle()
        self.cache: TextCache | None = None
        if settings.cache_texts:
            store = RowStore(max_rows=settings.cache_texts, max_bytes=settings.cache_bytes)
            self.cache = TextCache(store, count=metrics.count_cache)
            metrics.watch_cache(store)
        self.drift = DriftWatch(window=settings.drift_window)
        metrics.register(self.drift)
        self._shadow = Shadow(fleet, metrics, compare_share=settings.compare_share, rng=rng)
        self._clock = clock
        self._probe = Probe(timeout_s=settings.ready_timeout_s)

    def start(self) -> None:
        """Start the engine's workers; called once, on the running event loop."""
        self.fleet.start()
        if self.cascade is not None:
            self.cascade.start()

    async def stop(self) -> None:
        """End all workers and free all engines."""
        await self._shadow.stop()
        if self.cascade is not None:
            await self.cascade.stop()
        await self.fleet.stop()

    async def classify(
        self,
        request: Request,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        long_text: LongText | None = None,
        use: str | None = None,
    ) -> Answered:
        """Answer one request, one text or many, under the same rule of admission.

        Args:
            request: whose client may leave, and whose headers may ask for a version, a sticky
                key, a deadline or a class.
            texts: at least one.
            pairs: of the same length as the texts.
            long_text: what becomes of a text that is too long; the bundle's own rule when absent.
            use: the version that shall answer, before what the headers ask for.

        Returns:
            The logits and the version that gave them.

        Raises:
            UnknownVersionError: the version asked for is not loaded.
            LateError: the request's deadline passed.
            ClientGoneError: the client left first.
        """
        arrived, asked = self._clock.monotonic(), read_asked(request.scope)
        version = self.router.choose(use=use or asked.use, key=asked.key)
        trace = trace_of(request.scope)
        trace.version, trace.is_routed = version.name, True
        deadline = None if asked.deadline_ms is None else arrived + asked.deadline_ms / 1e3
        with version.hold(), version.batcher.admit(len(texts)) as permit:
            encoded = await self._tokenize(version, texts, pairs=pairs, long_text=long_text)
            if self.gate is not None and (
                known := self.gate.answer(version.classifier, texts, pairs)
            ):
                trace.relay, trace.texts = known, len(texts)
                self.drift.observe(version.classifier, known.logits, encoded, is_engine=False)
                return Answered(version=version, logits=known.logits, encoded=encoded, relay=known)
            if len(encoded.batch) > len(texts):
                self._check_windows(encoded)
                version.batcher.admit_more(permit, len(encoded.batch) - len(texts))
            ticket, leave = self._submit(version, encoded.batch, permit, asked, deadline)
            try:
                logits = await self._wait(ticket, request)
            except EngineError:
                self.fleet.note_request(version.name, None)
                raise
            finally:
                leave()
        pooled = version.classifier.pool(logits, encoded)
        self.drift.observe(version.classifier, pooled, encoded)
        self._count(version, ticket, encoded=encoded, trace=trace)
        self._shadow.follow(version, texts, pairs, logits=pooled, long_text=encoded.long_text)
        relay = None
        if self.cascade is not None:
            left = None if deadline is None else deadline - self._clock.monotonic()
            relay = await self.cascade.complete(
                version.classifier,
                pooled,
                texts,
                pairs=pairs,
                left_s=left,
                long_text=encoded.long_text,
            )
        if relay is not None:
            trace.relay, pooled = relay, relay.logits
        return Answered(version=version, logits=pooled, encoded=encoded, relay=relay)

    async def check_ready(self) -> None:
        """Return when a real inference through the queue worked in time.

        Raises:
            NotReadyError: it failed or took too long, or the service is stopping.
        """
        self.lifecycle.check()
        await self._probe.check(self.router.current)

    def _check_windows(self, encoded: Encoding) -> None:
        """Let pass what has few windows.

        Raises:
            TooManyWindowsError: a text needs more than the settings allow.
        """
        most, allowed = int(encoded.windows.max()), self.settings.max_windows
        if most > allowed:
            what = "a text is too long to be read in windows"
            do = "send it in parts, or let it be cut"
            raise TooManyWindowsError(what, expected=f"at most {allowed}", got=str(most), do=do)

    def _submit(
        self,
        version: Version,
        batch: Batch,
        permit: Permit,
        asked: Asked,
        deadline_s: float | None,
    ) -> tuple[Ticket | SharedTicket, Callable[[], None]]:
        """Queue texts, those that nobody knows yet where there is a cache; and how to leave."""
        queue = version.batcher
        ask = partial(queue.submit, permit=permit, priority=asked.priority, deadline_s=deadline_s)
        if self.cache is None:
            ticket = ask(batch)
            return ticket, partial(queue.leave, ticket)
        shared = self.cache.submit(
            version.classifier,
            batch,
            ask=ask,
            leave=queue.leave,
            rank=asked.priority,
            deadline_s=deadline_s,
        )
        return shared, partial(self.cache.leave, shared)

    async def _tokenize(
        self,
        version: Version,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None,
        long_text: LongText | None,
    ) -> Encoding:
        started = self._clock.monotonic()
        encode = version.classifier.tokenizer.encode
        rule = long_text or version.classifier.long_text
        characters = sum(map(len, texts)) + sum(map(len, pairs or ()))
        if characters <= INLINE_CHARACTERS:
            encoded = encode(texts, pairs, long_text=rule)
        else:
            encoded = await asyncio.to_thread(encode, texts, pairs, long_text=rule)
        self.metrics.tokenize_seconds.observe(self._clock.monotonic() - started)
        return encoded

    async def _wait(self, ticket: Ticket | SharedTicket, request: Request) -> Logits:
        """Give the logits, unless the client leaves or the deadline passes first.

        Raises:
            LateError: the deadline passed.
            ClientGoneError: the client left.
        """
        if ticket.deadline_s is None:
            if not ticket.is_taken:
                await asyncio.sleep(0)  # what was put off to the end of this turn has begun then
            if ticket.is_taken:
                # All of it is in the engine: if the client leaves now, nothing is saved.
                return await ticket.done
        gone = asyncio.ensure_future(_wait_gone(request))
        left = None
        if ticket.deadline_s is not None:
            left = max(0.0, ticket.deadline_s - self._clock.monotonic())
        try:
            await asyncio.wait(
                (ticket.done, gone), timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            gone.cancel()
        if ticket.done.done():
            return ticket.done.result()
        if not gone.done():
            what = "the request's deadline passed"
            raise LateError(what, retry_after_s=1)
        gone.result()  # a body over the limit, sent where none was asked for, raises here
        what = "the client left before its answer"
        raise ClientGoneError(what)

    def _count(
        self,
        version: Version,
        ticket: Ticket | SharedTicket,
        *,
        encoded: Encoding,
        trace: Trace,
    ) -> None:
        metrics, texts = self.metrics, len(encoded.windows)
        trace.texts, trace.truncated = texts, int(np.count_nonzero(encoded.truncated))
        trace.tokens, trace.tokens_total = sum(ticket.lengths), int(encoded.totals.sum())
        metrics.texts.inc(texts)
        metrics.tokens.inc(trace.tokens)
        if trace.truncated:
            metrics.truncated.inc(trace.truncated)
        if unknown := int(encoded.unknown.sum()):
            metrics.unknown.inc(unknown)
        if len(ticket.lengths) > texts:
            windows = encoded.windows[encoded.windows > 1]
            metrics.windowed.inc(len(windows))
            metrics.windows.inc(int(windows.sum()))
        metrics.version_texts.labels(version.name).inc(texts)
        if isinstance(ticket, SharedTicket) and not ticket.is_computed:
            return  # no engine was asked: its times would make a version look faster than it is
        metrics.queue_seconds.observe(ticket.queue_s)
        metrics.infer_seconds.observe(ticket.infer_s)
        metrics.version_seconds.labels(version.name).observe(ticket.infer_s)
        self.fleet.note_request(version.name, ticket.queue_s + ticket.infer_s)


async def _wait_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

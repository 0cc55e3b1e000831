"""From texts to logits: admit, tokenise, queue, wait for the answer or for the client to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from starlette.requests import Request

from thinfer.classifier import Classifier, Prediction
from thinfer.core.clock import Clock
from thinfer.errors import ThinferError
from thinfer.serve.batcher import Batcher, BatchLimits
from thinfer.serve.errors import ClientGoneError, InvalidBodyError, NotReadyError
from thinfer.serve.lifecycle import Lifecycle
from thinfer.serve.middleware import trace_of
from thinfer.serve.observe import Metrics
from thinfer.serve.router import Router, Version
from thinfer.serve.settings import ServeSettings
from thinfer.serve.ticket import Logits, Permit, Ticket
from thinfer.text.tokenizer import Encoding

__all__ = ["Answered", "Service", "build_service"]

# Shorter requests are tokenised on the event loop: the hop to a thread would cost more.
INLINE_CHARACTERS = 2048
PROBE_TEXT = "ready?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answer to one request.

    Attributes:
        version: that gave it.
        logits: float32 `[texts, classes]`.
        encoded: the texts as they were run.
    """

    version: Version
    logits: Logits
    encoded: Encoding

    def predictions(self) -> list[Prediction]:
        """Give label and scores of each text."""
        return self.version.classifier.to_predictions(
            self.logits,
            truncated=self.encoded.truncated,
            tokens=self.encoded.batch.lengths,
        )


class Service:
    """What the routes talk to.

    Args:
        router: gives the version for a request.
        settings: of the service.
        metrics: where it counts.
        clock: measures tokenising.
    """

    def __init__(
        self, router: Router, settings: ServeSettings, *, metrics: Metrics, clock: Clock
    ) -> None:
        self.router, self.settings, self.metrics = router, settings, metrics
        self.lifecycle = Lifecycle()
        self._clock = clock
        self._probe: asyncio.Task[None] | None = None

    async def classify(
        self,
        request: Request,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        may_truncate: bool = True,
    ) -> Answered:
        """Answer one request, one text or many, under the same rule of admission.

        Args:
            request: whose client may leave.
            texts: at least one.
            pairs: of the same length as the texts.
            may_truncate: whether a text that is too long may be cut.

        Returns:
            The logits and the version that gave them.

        Raises:
            InvalidBodyError: a text is too long and may not be cut.
            ClientGoneError: the client left first.
        """
        version = self.router.choose()
        trace = trace_of(request.scope)
        trace.version = version.name
        with version.batcher.admit(len(texts)) as permit:
            encoded = await self._tokenize(version, texts, pairs=pairs)
            truncated = int(np.count_nonzero(encoded.truncated))
            if truncated and not may_truncate:
                what = f"{truncated} of the texts are too long, and 'truncate' is false"
                expected = f"at most {version.classifier.tokenizer.max_length} tokens"
                raise InvalidBodyError(what, expected=expected)
            ticket = version.batcher.submit(encoded.batch, permit)
            try:
                logits = await _wait(ticket, request)
            finally:
                version.batcher.leave(ticket)
        trace.truncated = truncated
        trace.tokens = int(encoded.batch.lengths.sum())
        self._count(ticket, truncated=truncated, unknown=int(encoded.unknown.sum()))
        return Answered(version=version, logits=logits, encoded=encoded)

    async def check_ready(self) -> None:
        """Return when a real inference through the queue worked in time.

        Callers at the same moment share one inference, so that probing cannot become load.

        Raises:
            NotReadyError: it failed or took too long.
        """
        self.lifecycle.check()
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._infer_probe())
        try:
            await asyncio.shield(self._probe)
        except ThinferError as error:
            what = "the readiness inference failed"
            raise NotReadyError(what, got=str(error)) from error
        except TimeoutError as error:
            what = "the readiness inference took too long"
            expected = f"at most {self.settings.ready_timeout_s:g} s"
            raise NotReadyError(what, expected=expected) from error

    async def _infer_probe(self) -> None:
        version = self.router.current
        batch = version.classifier.tokenizer.encode((PROBE_TEXT,)).batch
        ticket = version.batcher.submit(batch, Permit(places=0), is_urgent=True)
        try:
            async with asyncio.timeout(self.settings.ready_timeout_s):
                await ticket.done
        finally:
            version.batcher.leave(ticket)

    async def _tokenize(
        self, version: Version, texts: Sequence[str], *, pairs: Sequence[str] | None
    ) -> Encoding:
        started = self._clock.monotonic()
        encode = version.classifier.tokenizer.encode
        characters = sum(map(len, texts)) + sum(map(len, pairs or ()))
        if characters <= INLINE_CHARACTERS:
            encoded = encode(texts, pairs)
        else:
            encoded = await asyncio.to_thread(encode, texts, pairs)
        self.metrics.tokenize_seconds.observe(self._clock.monotonic() - started)
        return encoded

    def _count(self, ticket: Ticket, *, truncated: int, unknown: int) -> None:
        self.metrics.texts.inc(len(ticket.lengths))
        self.metrics.tokens.inc(sum(ticket.lengths))
        self.metrics.truncated.inc(truncated)
        self.metrics.unknown.inc(unknown)
        self.metrics.queue_seconds.observe(ticket.queue_s)
        self.metrics.infer_seconds.observe(ticket.infer_s)


def build_service(classifier: Classifier, settings: ServeSettings, *, clock: Clock) -> Service:
    """Put a queue in front of a classifier, and the counters beside it.

    Args:
        classifier: open, so its golden set has passed; the caller closes it.
        settings: of the service.
        clock: measures everything.
    """
    # The gauge asks the batcher, and the batcher reports to the metrics: one must come first.
    metrics = Metrics(lambda: batcher.waiting)
    limits = BatchLimits(
        max_queue=settings.max_queue,
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_texts=settings.max_batch_texts,
    )
    batcher = Batcher(classifier.engine.run, limits, clock=clock, on_run=metrics.observe_run)
    info = classifier.engine.info
    metrics.version.labels(classifier.version, info.name, info.precision).set(1)
    router = Router(Version(classifier=classifier, batcher=batcher))
    return Service(router, settings, metrics=metrics, clock=clock)


async def _wait(ticket: Ticket, request: Request) -> Logits:
    """Give the logits, unless the client leaves first.

    Raises:
        ClientGoneError: it left.
    """
    gone = asyncio.ensure_future(_wait_gone(request))
    try:
        await asyncio.wait((ticket.done, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if ticket.done.done():
        return ticket.done.result()
    gone.result()  # a body over the limit, sent where none was asked for, raises here
    what = "the client left before its answer"
    raise ClientGoneError(what)


async def _wait_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

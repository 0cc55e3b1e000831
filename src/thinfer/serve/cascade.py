"""The cascade: answer here where the model is sure, else ask a bigger one, and never fail by it.

Whatever keeps the bigger model from answering (budget, breaker, an error, too little time), the
text gets the answer that is already there, marked as degraded.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.classifier import Classifier
from thinfer.core.clock import Clock
from thinfer.errors import DataError, ThinferError, UserError
from thinfer.quality.cascade import CascadePolicy, score_confidence
from thinfer.serve.batcher import Batcher, BatchLimits
from thinfer.serve.breaker import Breaker, Pass
from thinfer.serve.budget import Budget
from thinfer.serve.keys import read_key
from thinfer.serve.observe import Metrics
from thinfer.serve.settings import ServeSettings
from thinfer.serve.ticket import Logits
from thinfer.serve.upstream import LocalUpstream, Upstream
from thinfer.serve.upstream_http import HttpUpstream
from thinfer.text.long_text import HEAD, LongText

__all__ = ["Cascade", "Relay", "open_cascade"]

logger = logging.getLogger("thinfer.serve")

Rows = NDArray[np.int64]
Ask = Callable[[Sequence[str], Sequence[str] | None], Awaitable[Logits]]

OWN_SHARE = 0.9  # of what is left of a request's deadline; the rest is for writing the answer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relay:
    """Who answered the texts of one request.

    Attributes:
        logits: float32 `[texts, classes]`, the bigger model's where it answered.
        cloud: bool `[texts]`, where it did.
        degraded: bool `[texts]`, where it should have.
        cloud_version: of the bigger model.
        home: the stage that answered the others.
    """

    logits: Logits
    cloud: NDArray[np.bool_]
    degraded: NDArray[np.bool_]
    cloud_version: str
    home: Literal["edge", "gate"] = "edge"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the answer's head says."""
        texts, sent, lost = len(self.cloud), int(self.cloud.sum()), int(self.degraded.sum())
        stage = self.home.encode() if not sent else b"cloud" if sent == texts else b"mixed"
        headers = [(b"x-thinfer-stage", stage)]
        if sent:
            headers.append((b"x-thinfer-cloud-version", self.cloud_version.encode()))
        if lost:
            headers.append((b"x-thinfer-degraded", str(lost).encode()))
        return headers

    def describe(self, row: int) -> dict[str, object]:
        """Give the fields of one text's answer: `stage`, and `degraded` where it is."""
        fields: dict[str, object] = {"stage": "cloud" if self.cloud[row] else self.home}
        return {**fields, "degraded": True} if self.degraded[row] else fields


class Cascade:
    """Asks the bigger model where the policy says so.

    Args:
        policy: whose bundle answers first.
        upstream: the bigger model.
        breaker: guards it.
        budget: caps it.
        timeout_s: for its answer.
        metrics: where texts are counted by outcome.
        clock: measures its answers.
    """

    def __init__(
        self,
        policy: CascadePolicy,
        upstream: Upstream,
        *,
        breaker: Breaker,
        budget: Budget,
        timeout_s: float,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._policy, self._upstream = policy, upstream
        self._breaker, self._budget, self._timeout_s = breaker, budget, timeout_s
        self._metrics, self._clock = metrics, clock
        metrics.watch_breaker(lambda: float(breaker.state))

    def start(self) -> None:
        """Make the bigger model ready; called on the running event loop."""
        self._upstream.start()

    async def stop(self) -> None:
        """Free the bigger model."""
        await self._upstream.stop()

    async def complete(
        self,
        classifier: Classifier,
        logits: Logits,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        left_s: float | None = None,
        long_text: LongText = HEAD,
    ) -> Relay | None:
        """Let the bigger model answer what the first one is unsure of.

        Args:
            classifier: that answered first.
            logits: float32 `[texts, classes]`, its logits.
            texts: the texts.
            pairs: of the same length.
            left_s: until the request's own deadline, where it has one.
            long_text: what was done with texts that are too long, and shall be done again.

        Returns:
            Who answered what; None where the policy was made for another bundle than the one
            that answered, which then answers for itself.
        """
        if classifier.bundle.manifest.content_digest != self._policy.small.version:
            return None
        scores = score_confidence(logits, self._policy.temperature)
        unsure = np.flatnonzero(~(scores >= self._policy.threshold))
        self._budget.see(len(texts))
        self._count("local", len(texts) - len(unsure))
        cloud, answers = np.zeros(len(texts), dtype=np.bool_), logits
        degraded = cloud.copy()
        degraded[unsure] = True
        if len(unsure):
            # The least sure first: they go on where the budget is too small for all.
            order = unsure[np.argsort(scores[unsure], kind="stable")]
            ask = functools.partial(self._upstream.ask, long_text=_again(long_text))
            sent, found = await self._send(ask, order, texts, pairs, left_s=left_s)
            if found is not None:
                answers = logits.copy()
                answers[sent], cloud[sent], degraded[sent] = found, True, False
        version = self._upstream.version
        return Relay(logits=answers, cloud=cloud, degraded=degraded, cloud_version=version)

    async def _send(
        self,
        ask: Ask,
        order: Rows,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        *,
        left_s: float | None,
    ) -> tuple[Rows, Logits | None]:
        """Give the rows that were sent, rising, and their logits if there are any."""
        nothing = order[:0]
        leave = self._breaker.ask()
        if leave is None:
            self._count("degraded_breaker", len(order))
            return nothing, None
        granted = self._budget.take(len(order))
        self._count("degraded_budget", len(order) - granted)
        if not granted:
            self._breaker.give_back(leave)
            return nothing, None
        rows = np.sort(order[:granted])
        chosen = rows.tolist()
        found = await self._ask(
            ask,
            leave,
            [texts[row] for row in chosen],
            None if pairs is None else [pairs[row] for row in chosen],
            left_s=math.inf if left_s is None else OWN_SHARE * left_s,
        )
        self._count("degraded_failed" if found is None else "upstream", granted)
        return rows, found

    async def _ask(
        self,
        ask: Ask,
        leave: Pass,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        *,
        left_s: float,
    ) -> Logits | None:
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(min(self._timeout_s, left_s)):
                found = await ask(texts, pairs)
        except TimeoutError:
            # A client in a hurry says nothing of the upstream, and must not close it to others.
            if left_s >= self._timeout_s:
                self._breaker.fail(leave)
                logger.warning("the bigger model gave no answer in %g s", self._timeout_s)
            return None
        except (DataError, UserError) as error:  # these texts, and not the upstream, are at fault
            logger.warning("the bigger model cannot read a text: %s", error)
            return None
        except ThinferError as error:
            self._breaker.fail(leave)
            logger.warning("the bigger model gave no answer: %s", error)
            return None
        else:
            self._breaker.succeed(leave)
            return found
        finally:
            self._breaker.give_back(leave)  # changes nothing where the outcome is counted
            self._metrics.cascade_seconds.observe(self._clock.monotonic() - started)

    def _count(self, outcome: str, texts: int) -> None:
        if texts:
            self._metrics.cascade.labels(outcome).inc(texts)


def _again(long_text: LongText) -> LongText:
    """The rule for the bigger model; what may not be cut has fitted, and is not asked again."""
    return HEAD if long_text.policy == "error" else long_text


def open_cascade(
    classifier: Classifier, settings: ServeSettings, *, metrics: Metrics, clock: Clock
) -> Cascade | None:
    """Read the policy and open what texts go on to; an address need not answer yet.

    Args:
        classifier: that answers first.
        settings: of the service.
        metrics: where texts are counted.
        clock: measures everything.

    Returns:
        The cascade; None where none is asked for.
    """
    if settings.cascade is None or settings.cascade_to is None:
        return None
    policy = CascadePolicy.read(settings.cascade)
    policy.check_small(classifier.bundle.manifest.content_digest)
    info = classifier.engine.info
    if (info.name, info.precision) != (policy.small.engine, policy.small.precision):
        logger.warning(
            "the cascade's threshold was chosen with %s %s, this is %s %s: its scores may differ",
            *(policy.small.engine, policy.small.precision, info.name, info.precision),
        )
    if (policy.test or policy.dev).get("verdict") != "holds":
        logger.warning("the floors of the cascade are not proven on its test data")
    return Cascade(
        policy,
        _open_upstream(policy, settings, clock=clock),
        breaker=Breaker(
            failures=settings.cascade_failures,
            cooldown_s=settings.cascade_cooldown_s,
            clock=clock,
        ),
        budget=Budget(settings.cascade_budget, window_s=settings.cascade_window_s, clock=clock),
        timeout_s=settings.cascade_timeout_s,
        metrics=metrics,
        clock=clock,
    )


def _open_upstream(policy: CascadePolicy, settings: ServeSettings, *, clock: Clock) -> Upstream:
    place, file = settings.cascade_to or "", settings.cascade_key_file
    if settings.is_cascade_remote:
        return HttpUpstream(
            place,
            version=policy.big.version,
            labels=policy.labels,
            connect_timeout_s=settings.cascade_connect_timeout_s,
            timeout_s=settings.cascade_timeout_s,
            key=None if file is None else read_key(file),
        )
    big = Classifier.open(place, threads=settings.threads)
    try:
        policy.check_big(big.bundle.manifest.content_digest)
    except ThinferError:
        big.close()
        raise
    limits = BatchLimits(
        max_queue=settings.max_queue,
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_texts=settings.max_batch_texts,
    )
    # The engine's counters are those of the model that answers first; this one has its own time.
    batcher = Batcher(big.engine.run, limits, clock=clock, on_run=lambda run: None)
    return LocalUpstream(big, batcher, labels=policy.labels)

"""The batcher: takes at once, fills to the budget, bounds the queue, isolates failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from thinfer.core.clock import ManualClock
from thinfer.errors import EngineError, OverloadError, ThinferError
from thinfer.serve.batcher import Batcher, BatchLimits
from thinfer.serve.calling import BatchRun
from thinfer.serve.errors import LateError, TooManyTextsError, WorkerStoppedError
from thinfer.serve.ticket import Permit
from thinfer.serve.waiting import Priority
from thinfer.text.batch import Batch

POISON = 666


class Engine:
    """Logits = (first id, length); a call waits for the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[list[int]] = []
        self.clock = ManualClock()
        self.cost_s = 0.0
        self.before: Callable[[Batch], None] = lambda batch: None

    def run(self, batch: Batch) -> NDArray[np.float32]:
        self.calls.append(batch.lengths.tolist())
        self.gate.wait(30)
        self.clock.advance(self.cost_s)
        self.before(batch)
        if POISON in batch.ids:
            message = "bad text"
            raise ValueError(message)
        firsts = batch.ids[batch.offsets[:-1]]
        return np.stack([firsts, batch.lengths], axis=1).astype(np.float32)


def rows(*sequences: Sequence[int]) -> Batch:
    return Batch.from_sequences(sequences)


def with_batcher(
    engine: Engine,
    work: Callable[[Batcher, list[BatchRun]], Coroutine[Any, Any, None]],
    *,
    max_queue: int = 100,
    max_batch_tokens: int = 100,
    max_batch_texts: int = 100,
    workers: int = 1,
    quick_s: float = 0.0,
) -> None:
    async def main() -> None:
        runs: list[BatchRun] = []
        limits = BatchLimits(
            max_queue=max_queue,
            max_batch_tokens=max_batch_tokens,
            max_batch_texts=max_batch_texts,
        )
        batcher = Batcher(
            engine.run,
            limits,
            clock=engine.clock,
            on_run=runs.append,
            workers=workers,
            quick_s=quick_s,
        )
        batcher.start()
        try:
            async with asyncio.timeout(30):
                await work(batcher, runs)
        finally:
            engine.gate.set()
            await batcher.stop()

    asyncio.run(main())


async def ask(batcher: Batcher, batch: Batch) -> list[list[float]]:
    with batcher.admit(len(batch)) as permit:
        ticket = batcher.submit(batch, permit)
        try:
            answer: list[list[float]] = (await ticket.done).tolist()
        finally:
            batcher.leave(ticket)
        return answer


async def start_asking(batcher: Batcher, *batches: Batch) -> list[asyncio.Task[list[list[float]]]]:
    """Ask in order; every request is queued when this returns."""
    tasks = [asyncio.create_task(ask(batcher, batch)) for batch in batches]
    await asyncio.sleep(0)
    return tasks


def note_threads(engine: Engine) -> list[bool]:
    """Give a list that tells of each call whether it ran on the thread that asks for it here."""
    found: list[bool] = []
    here = threading.get_ident()
    engine.before = lambda batch: found.append(threading.get_ident() == here)
    return found


def test_a_text_on_an_idle_engine_waits_for_nothing_but_the_engine() -> None:
    engine = Engine()
    engine.cost_s = 0.005

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        for _ in range(3):
            ticket = batcher.submit(rows([1, 2, 3]), Permit(places=0))
            assert (await ticket.done).tolist() == [[1, 3]]
            assert ticket.queue_s == 0
            assert ticket.infer_s == pytest.approx(0.005)
        assert [run.texts for run in runs] == [1, 1, 1]

    with_batcher(engine, work)


def test_a_text_alone_runs_on_the_event_loop_while_the_engine_is_quick() -> None:
    engine = Engine()
    engine.cost_s = 0.003  # of three tokens: 1 ms each
    threads = note_threads(engine)

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        assert await ask(batcher, rows([1, 2, 3])) == [[1, 3]]  # nothing is known of the engine
        assert await ask(batcher, rows([4, 5, 6])) == [[4, 3]]
        assert await ask(batcher, rows([7] * 5)) == [[7, 5]]  # by the calls before 5 ms
        assert threads == [False, True, False]
        assert len(runs) == 3
        assert batcher.waiting == 0

    with_batcher(engine, work, quick_s=0.004)


def test_what_comes_together_or_as_a_list_leaves_the_event_loop_alone() -> None:
    engine = Engine()
    threads = note_threads(engine)

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        await ask(batcher, rows([1]))
        await asyncio.gather(ask(batcher, rows([2])), ask(batcher, rows([3])))
        await ask(batcher, rows([4], [5]))
        assert engine.calls == [[1], [1, 1], [1, 1]]
        assert threads == [False] * 3

    with_batcher(engine, work, quick_s=1.0)


def test_an_engine_that_becomes_slow_leaves_the_event_loop_until_it_is_quick_again() -> None:
    engine = Engine()
    threads = note_threads(engine)

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        await ask(batcher, rows([1]))
        for engine.cost_s in (0.1, 0.1, 0.0):
            await ask(batcher, rows([1]))
        assert threads == [False, True, False, False]
        for _ in range(20):
            await ask(batcher, rows([1]))
        assert threads[-1]

    with_batcher(engine, work, quick_s=0.001)


def test_a_poisoned_text_on_the_event_loop_fails_alone() -> None:
    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        await ask(batcher, rows([1]))
        with pytest.raises(EngineError):
            await ask(batcher, rows([POISON]))
        assert await ask(batcher, rows([2])) == [[2, 1]]
        assert batcher.is_alive

    with_batcher(Engine(), work, quick_s=1.0)


def test_what_waits_while_the_engine_works_is_the_next_batch() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        tasks = await start_asking(batcher, rows([1]), rows([2, 2]), rows([3, 3, 3]), rows([4]))
        assert batcher.waiting == 3
        engine.gate.set()
        answers = await asyncio.gather(*tasks)
        assert answers == [[[1, 1]], [[2, 2]], [[3, 3]], [[4, 1]]]
        assert engine.calls == [[1], [2, 3, 1]]
        assert [(run.texts, run.tokens) for run in runs] == [(1, 1), (3, 6)]
        assert batcher.waiting == 0

    with_batcher(engine, work)


@pytest.mark.parametrize(
    ("tokens", "texts", "calls"),
    [
        (4, 100, [[1], [2, 2], [2, 2], [9], [1]]),
        (100, 2, [[1], [2, 2], [2, 2], [9, 1]]),
        (1, 1, [[1], [2], [2], [2], [2], [9], [1]]),
        (100, 100, [[1], [2, 2, 2, 2, 9, 1]]),
    ],
)
def test_a_call_takes_rows_in_order_up_to_both_limits_and_at_least_one(
    tokens: int, texts: int, calls: list[list[int]]
) -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        three = rows([2, 2], [3, 3], [4, 4])
        tasks = await start_asking(
            batcher, rows([1]), three, rows([5, 5]), rows([6] * 9), rows([7])
        )
        engine.gate.set()
        answers = await asyncio.gather(*tasks)
        assert answers[1] == [[2, 2], [3, 2], [4, 2]]
        assert answers[2:] == [[[5, 2]], [[6, 9]], [[7, 1]]]
        assert engine.calls == calls

    with_batcher(engine, work, max_batch_tokens=tokens, max_batch_texts=texts)


def test_the_queue_is_bounded_for_singles_and_lists_alike() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        tasks = await start_asking(batcher, rows([1]), rows([2], [3]), rows([4]))
        assert batcher.waiting == 3
        for batch in (rows([5], [6]), rows([5], [6], [7])):
            with pytest.raises(OverloadError, match="queue is full") as caught:
                await ask(batcher, batch)
            assert caught.value.retry_after_s > 0
        tasks += await start_asking(batcher, rows([8]))
        for batch in (rows([5]), rows([5], [6])):
            with pytest.raises(OverloadError):
                await ask(batcher, batch)
        with pytest.raises(TooManyTextsError, match="at most 4"):
            await ask(batcher, rows([1], [2], [3], [4], [5]))
        assert batcher.waiting == 4
        engine.gate.set()
        await asyncio.gather(*tasks)
        assert await ask(batcher, rows([5], [6], [7], [8])) == [[5, 1], [6, 1], [7, 1], [8, 1]]
        assert batcher.waiting == 0

    with_batcher(engine, work, max_queue=4)


def test_places_come_back_when_the_block_fails_before_submitting() -> None:
    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        with pytest.raises(KeyError), batcher.admit(3):
            assert batcher.waiting == 3
            raise KeyError
        assert batcher.waiting == 0

    with_batcher(Engine(), work)


def test_a_departed_client_is_not_computed_and_leaves_its_place() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        tasks = await start_asking(batcher, rows([1]), rows([2, 2]), rows([3, 3, 3]))
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        engine.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[1], asyncio.CancelledError)
        assert engine.calls == [[1], [3]]

    with_batcher(engine, work)


def test_a_client_that_leaves_in_the_middle_of_a_call_harms_nobody() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        tasks = await start_asking(batcher, rows([1], [2], [3]), rows([4]))
        tasks[0].cancel()  # two of its three rows are not taken yet
        await asyncio.sleep(0)
        engine.gate.set()
        assert await tasks[1] == [[4, 1]]
        assert engine.calls == [[1], [1]]
        assert batcher.waiting == 0

    with_batcher(engine, work, max_batch_texts=1)


def test_a_poisoned_request_fails_alone() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        tasks = await start_asking(
            batcher, rows([1]), rows([2], [3]), rows([4], [POISON]), rows([5])
        )
        engine.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[0] == [[1, 1]]
        assert answers[1] == [[2, 1], [3, 1]]
        assert isinstance(answers[2], EngineError)
        assert isinstance(answers[2].__cause__, ValueError)
        assert answers[3] == [[5, 1]]
        assert [run.is_failed for run in runs] == [False, True, False, True, False]
        assert await ask(batcher, rows([6])) == [[6, 1]]

    with_batcher(engine, work)


def test_a_request_over_several_calls_fails_once_and_its_rest_is_dropped() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        with pytest.raises(EngineError):
            await ask(batcher, rows([POISON], [2], [3]))
        assert batcher.waiting == 0
        assert await ask(batcher, rows([6])) == [[6, 1]]
        assert len(engine.calls) == 2

    with_batcher(engine, work, max_batch_texts=1)


@pytest.mark.parametrize(
    "answer", [np.array([[np.nan, 1]]), np.array([[1, np.inf]]), np.ones((2, 2))]
)
def test_unusable_logits_are_an_error_and_never_an_answer(answer: NDArray[np.float64]) -> None:
    engine = Engine()
    engine.run = lambda batch: answer.astype(np.float32)  # type: ignore[method-assign]

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        with pytest.raises(EngineError, match="no usable logits"):
            await ask(batcher, rows([1]))

    with_batcher(engine, work)


def test_an_urgent_request_goes_before_the_others_and_needs_no_place() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        tasks = await start_asking(batcher, rows([1]), rows([2, 2]))
        with pytest.raises(OverloadError):
            await ask(batcher, rows([3]))
        probe = batcher.submit(rows([9, 9, 9]), Permit(places=0), priority=Priority.PROBE)
        engine.gate.set()
        assert (await probe.done).tolist() == [[9, 3]]
        await asyncio.gather(*tasks)
        assert engine.calls == [[1], [3], [2]]

    with_batcher(engine, work, max_queue=1, max_batch_texts=1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_worker_is_seen_and_nobody_waits_for_it() -> None:
    engine = Engine()

    def die(batch: Batch) -> None:
        raise SystemExit  # not an Exception: nothing catches it, the thread ends

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        assert batcher.is_alive
        engine.gate.clear()
        tasks = await start_asking(batcher, rows([1]), rows([2]))
        engine.before = die
        engine.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, WorkerStoppedError) for answer in answers)
        assert not batcher.is_alive
        with pytest.raises(WorkerStoppedError):
            await ask(batcher, rows([3]))
        assert batcher.waiting == 0

    with_batcher(engine, work)


def test_before_its_start_it_is_not_alive_and_refuses() -> None:
    limits = BatchLimits(max_queue=1, max_batch_tokens=1, max_batch_texts=1)
    batcher = Batcher(Engine().run, limits, clock=ManualClock(), on_run=lambda run: None)
    assert not batcher.is_alive
    with pytest.raises(WorkerStoppedError):
        batcher.submit(rows([1]), Permit(places=0))


def test_stop_does_not_wait_for_a_call_that_never_returns() -> None:
    engine = Engine()

    async def main() -> None:
        limits = BatchLimits(max_queue=9, max_batch_tokens=9, max_batch_texts=9)
        batcher = Batcher(engine.run, limits, clock=engine.clock, on_run=lambda run: None)
        batcher.start()
        engine.gate.clear()
        tasks = await start_asking(batcher, rows([1]), rows([2]))
        await batcher.stop(timeout_s=0.01)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, ThinferError) for answer in answers)
        engine.gate.set()  # the call comes back late: its answer has no taker, and harms nobody
        while batcher.is_alive:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_each_row_gets_its_own_answer_whatever_the_mix() -> None:
    engine = Engine()
    rng = np.random.default_rng(3)
    batches = [
        rows(
            *(
                rng.integers(1, 600, size=rng.integers(1, 9)).tolist()
                for _ in range(rng.integers(1, 7))
            )
        )
        for _ in range(60)
    ]

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        answers = await asyncio.gather(*(ask(batcher, batch) for batch in batches))
        for batch, answer in zip(batches, answers, strict=True):
            firsts = batch.ids[batch.offsets[:-1]].tolist()
            assert answer == [list(pair) for pair in zip(firsts, batch.lengths, strict=True)]
        assert sum(run.texts for run in runs) == sum(map(len, batches))
        assert max(run.tokens for run in runs) <= 20

    with_batcher(engine, work, max_queue=1000, max_batch_tokens=20, max_batch_texts=7)


def test_a_late_request_is_dropped_before_it_is_computed() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        first = batcher.submit(rows([1]), Permit(places=0))
        late = batcher.submit(rows([2, 2]), Permit(places=0), deadline_s=engine.clock.monotonic())
        timely = batcher.submit(rows([3, 3, 3]), Permit(places=0), deadline_s=1e9)
        engine.gate.set()
        assert (await first.done).tolist() == [[1, 1]]
        with pytest.raises(LateError, match="deadline"):
            await late.done
        assert (await timely.done).tolist() == [[3, 3]]
        assert engine.calls == [[1], [3]]

    with_batcher(engine, work)


def test_a_queue_of_late_requests_alone_leaves_the_engine_free() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        late = batcher.submit(rows([1]), Permit(places=0), deadline_s=engine.clock.monotonic())
        with pytest.raises(LateError):
            await late.done
        ticket = batcher.submit(rows([2]), Permit(places=0))
        assert (await ticket.done).tolist() == [[2, 1]]

    with_batcher(engine, work)


def test_a_higher_class_goes_first() -> None:
    engine = Engine()

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        engine.gate.clear()
        tickets = [batcher.submit(rows([1]), Permit(places=0))]
        for length, priority in ((2, Priority.LOW), (3, Priority.NORMAL), (4, Priority.HIGH)):
            batch = rows([9] * length)
            tickets.append(batcher.submit(batch, Permit(places=0), priority=priority))
        engine.gate.set()
        for ticket in tickets:
            await ticket.done
        assert engine.calls == [[1], [4], [3], [2]]

    with_batcher(engine, work, max_batch_texts=1)


def test_two_workers_run_side_by_side_and_parts_come_home_in_order() -> None:
    engine = Engine()
    both = threading.Barrier(2, timeout=30)

    def meet(batch: Batch) -> None:
        both.wait()

    engine.before = meet

    async def work(batcher: Batcher, runs: list[BatchRun]) -> None:
        # Four rows, one a call: only two calls at once can pass the barrier.
        ticket = batcher.submit(rows([1], [2, 2], [3, 3, 3], [4]), Permit(places=0))
        assert (await ticket.done).tolist() == [[1, 1], [2, 2], [3, 3], [4, 1]]
        assert len(runs) == 4

    with_batcher(engine, work, max_batch_texts=1, workers=2)

"""Equal texts are computed once; nobody else's failure, version or departure is felt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.serving import Harness, serving, sum_samples
from thinfer.classifier import Classifier
from thinfer.core.clock import ManualClock
from thinfer.errors import EngineError
from thinfer.serve.batcher import Batcher, BatchLimits
from thinfer.serve.cache import SharedTicket, TextCache
from thinfer.serve.errors import WorkerStoppedError
from thinfer.serve.rowstore import RowStore
from thinfer.serve.ticket import Permit, Ticket
from thinfer.text.batch import Batch

POISON = 666


class Engine:
    """Logits = (first id, second id or 0, tokens); a call waits for the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[list[list[int]]] = []
        self.is_failing = False

    def run(self, batch: Batch) -> NDArray[np.float32]:
        rows = [
            batch.ids[start:stop].tolist()
            for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
        ]
        self.calls.append(rows)
        self.gate.wait(30)
        if self.is_failing or POISON in batch.ids:
            message = "bad text"
            raise ValueError(message)
        return np.array([[row[0], row[-1] / 3, len(row)] for row in rows], dtype=np.float32)


class Source:
    """What the cache tells versions by."""


class Bench:
    """A batcher, a cache in front of it, and what the cache counted."""

    def __init__(self, engine: Engine, *, max_rows: int = 100) -> None:
        self.engine = engine
        limits = BatchLimits(max_queue=100, max_batch_tokens=1000, max_batch_texts=100)
        clock = ManualClock()
        self.batcher = Batcher(engine.run, limits, clock=clock, on_run=lambda run: None)
        self.counts: dict[str, int] = {}
        self.store = RowStore(max_rows=max_rows, max_bytes=10**6)
        self.cache = TextCache(self.store, count=self.count)
        self.source = Source()

    def count(self, outcome: str, texts: int) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + texts

    def submit(
        self, *rows: list[int], source: object = None, rank: int = 0, types: int = 0
    ) -> SharedTicket:
        batch = Batch.from_sequences(rows, [[types] * len(row) for row in rows])
        return self.cache.submit(
            source or self.source,
            batch,
            ask=partial(self.batcher.submit, permit=Permit(places=len(rows))),
            leave=self.batcher.leave,
            rank=rank,
        )


def on_bench(work: Callable[[Bench], Coroutine[Any, Any, None]], **options: int) -> Bench:
    bench = Bench(Engine(), **options)

    async def main() -> None:
        bench.batcher.start()
        try:
            async with asyncio.timeout(30):
                await work(bench)
        finally:
            bench.engine.gate.set()
            await bench.batcher.stop()

    asyncio.run(main())
    return bench


def test_an_answer_from_memory_is_the_same_to_the_last_bit_and_asks_no_engine() -> None:
    async def work(bench: Bench) -> None:
        plain = bench.engine.run(Batch.from_sequences([[7, 8], [9]]))
        first = await bench.submit([7, 8], [9]).done
        again = await bench.submit([9], [7, 8]).done
        assert first.dtype == again.dtype == np.float32
        np.testing.assert_array_equal(first, plain)
        np.testing.assert_array_equal(again, plain[::-1])
        again[0, 0] = 5  # whoever changes an answer changes no other
        np.testing.assert_array_equal(await bench.submit([9]).done, plain[1:])

    bench = on_bench(work)
    assert len(bench.engine.calls) == 2  # the plain one, and one through the cache
    assert bench.counts == {"miss": 2, "hit": 3}


def test_a_list_asks_for_each_new_text_once() -> None:
    async def work(bench: Bench) -> None:
        await bench.submit([1]).done
        shared = bench.submit([2], [1], [2], [3], [2])
        logits = await shared.done
        assert logits[:, 0].tolist() == [2, 1, 2, 3, 2]
        assert shared.lengths == [1] * 5

    bench = on_bench(work)
    assert bench.engine.calls == [[[1]], [[2], [3]]]
    assert bench.counts == {"miss": 3, "hit": 1, "coalesced": 2}


def test_equal_texts_in_flight_are_computed_once() -> None:
    async def work(bench: Bench) -> None:
        bench.engine.gate.clear()
        waiting = [bench.submit([1, 2]) for _ in range(3)]
        waiting.append(bench.submit([5], [1, 2]))
        bench.engine.gate.set()
        rows = [await shared.done for shared in waiting]
        assert [row[-1].tolist() for row in rows] == [rows[0][0].tolist()] * 4
        assert waiting[1].queue_s == waiting[1].infer_s == 0

    bench = on_bench(work)
    assert bench.engine.calls == [[[1, 2]], [[5]]]
    assert bench.counts == {"miss": 2, "coalesced": 3}


def test_other_type_ids_another_border_and_another_source_are_other_texts() -> None:
    async def work(bench: Bench) -> None:
        await bench.submit([1, 0]).done
        await bench.submit([1, 0], types=1).done
        await bench.submit([1]).done
        other = Source()
        await bench.submit([1, 0], source=other).done
        assert len(bench.engine.calls) == 4
        await bench.submit([1, 0], source=other).done
        del other  # a source that comes later at the same address is still another one
        await bench.submit([1, 0], source=Source()).done

    bench = on_bench(work)
    assert len(bench.engine.calls) == 5
    assert bench.counts == {"miss": 5, "hit": 1}


def test_a_failure_is_not_kept_and_fails_its_own_request_only() -> None:
    async def work(bench: Bench) -> None:
        bench.engine.gate.clear()
        leader = bench.submit([1], [POISON])
        follower = bench.submit([1])
        fellow = bench.submit([2], [POISON], [1])
        bench.engine.gate.set()
        with pytest.raises(EngineError):
            await leader.done
        assert (await follower.done)[0, 0] == 1
        with pytest.raises(EngineError):
            await fellow.done
        assert len(bench.store) == 2
        before = len(bench.engine.calls)
        with pytest.raises(EngineError):
            await bench.submit([POISON]).done
        assert len(bench.engine.calls) == before + 1  # asked again: the failure was not kept
        assert bench.cache._flying == {}

    on_bench(work)


def test_a_leader_that_leaves_does_not_take_its_followers_along() -> None:
    async def work(bench: Bench) -> None:
        bench.engine.gate.clear()
        busy = bench.submit([9])
        leader, follower = bench.submit([1], [2]), bench.submit([2])
        bench.cache.leave(leader)
        bench.cache.leave(leader)  # twice is harmless
        bench.engine.gate.set()
        assert (await follower.done)[0, 0] == 2
        assert (await busy.done)[0, 0] == 9
        assert leader.done.cancelled()

    bench = on_bench(work)
    assert bench.engine.calls == [[[9]], [[1], [2]]]
    assert len(bench.store) == 3


def test_a_text_that_nobody_waits_for_any_more_is_not_computed() -> None:
    async def work(bench: Bench) -> None:
        bench.engine.gate.clear()
        busy = bench.submit([9])
        leader, follower = bench.submit([1]), bench.submit([1])
        bench.cache.leave(leader)
        bench.cache.leave(follower)
        late = bench.submit([1])  # joins no flight that was given up
        bench.engine.gate.set()
        assert (await late.done)[0, 0] == 1
        await busy.done
        bench.cache.leave(late)

    bench = on_bench(work)
    assert bench.engine.calls == [[[9]], [[1]]]
    assert bench.cache._flying == {}


def test_an_urgent_request_waits_for_no_less_urgent_one() -> None:
    async def work(bench: Bench) -> None:
        bench.engine.gate.clear()
        slow = bench.submit([1], rank=3)
        urgent, slower = bench.submit([1], rank=1), bench.submit([1], rank=3)
        bench.engine.gate.set()
        await asyncio.gather(slow.done, urgent.done, slower.done)

    bench = on_bench(work)
    assert bench.counts == {"miss": 2, "coalesced": 1}


def test_a_stopped_worker_fails_all_and_leaves_nothing_behind() -> None:
    async def work(bench: Bench) -> None:
        bench.engine.gate.clear()
        held = [bench.submit([1]), bench.submit([1]), bench.submit([2])]
        bench.engine.gate.set()
        await asyncio.gather(*(shared.done for shared in held))
        bench.store.put(b"x", b"y")
        await bench.batcher.stop()
        with pytest.raises(WorkerStoppedError):
            bench.submit([3])
        assert bench.cache._flying == {}
        assert (await bench.submit([1]).done)[0, 0] == 1  # what is known needs no worker

    on_bench(work)


def wait_for_followers(harness: Harness, texts: int) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if sum_samples(harness.samples(), "thinfer_cache_total", "coalesced") == texts:
            return
        pause.wait(0.01)
    raise AssertionError(harness.samples())


def test_the_service_answers_the_same_with_and_without(tmp_path: Path) -> None:
    texts = ["ab", "cd", "ab", "", "ef"]
    with (
        serving(tmp_path / "off") as plain,
        serving(tmp_path / "on", settings={"cache_texts": 100}) as cached,
    ):
        wanted = plain.client.post("/predict", json={"inputs": texts}).json()
        for _ in range(2):
            assert cached.client.post("/predict", json={"inputs": texts}).json() == wanted
        assert cached.client.get("/check?content=ef").status_code == 200
        assert len(cached.engine.calls) == 1
        samples = cached.samples()
        assert samples['thinfer_cache_total{outcome="miss"}'] == 4
        assert samples['thinfer_cache_total{outcome="coalesced"}'] == 1
        assert samples['thinfer_cache_total{outcome="hit"}'] == 6
        assert samples["thinfer_cache_texts"] == 4
        assert samples["thinfer_cache_bytes"] > 0
        assert samples["thinfer_texts_total"] == 11
        assert "thinfer_cache_texts" not in plain.samples()
        assert plain.client.get("/check?content=ab").status_code == 200
        assert len(plain.engine.calls) == 2  # without a cache, known texts are computed again


def test_requests_at_the_same_time_share_one_computation(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"cache_texts": 10}) as harness, ThreadPoolExecutor(3) as pool:
        harness.engine.gate.clear()
        first = pool.submit(harness.client.get, "/check?content=a")
        assert harness.engine.entered.wait(30)
        rest = [pool.submit(harness.client.get, "/check?content=a") for _ in range(2)]
        wait_for_followers(harness, 2)
        harness.engine.gate.set()
        answers = [item.result().json() for item in (first, *rest)]
        assert answers[0] == answers[1] == answers[2]
        assert len(harness.engine.calls) == 1
        assert harness.samples()["thinfer_queue_depth"] == 0


TEXTS = [f"text {number}" for number in range(12)]


def ask_all(harness: Harness, **headers: str) -> tuple[list[Any], str]:
    answer = harness.client.post("/predict", json={"inputs": TEXTS}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers["x-thinfer-version"]


def test_a_switch_never_gives_another_versions_answer(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"cache_texts": 100}) as harness:
        first, old = ask_all(harness)
        bundle = harness.make_bundle(1)
        new = harness.load(bundle)["version"]
        with Classifier.open(bundle) as classifier:
            wanted = [item.label for item in classifier.predict(TEXTS)]
        for _ in range(2):  # computed, and then from memory
            found, name = ask_all(harness)
            assert name == new
            assert [rows[0]["label"] for rows in found] == wanted
            assert found != first
        assert ask_all(harness, **{"x-thinfer-use": old}) == (first, old)
        harness.admin("POST", "rollback", {})
        assert ask_all(harness) == (first, old)
        assert sum_samples(harness.samples(), "thinfer_cache_total", "miss") == 2 * len(TEXTS)
        # The same content opened anew is another source: it computes its own.
        harness.admin("DELETE", f"versions/{new}")
        harness.load(bundle)
        assert ask_all(harness)[1] == new
        assert sum_samples(harness.samples(), "thinfer_cache_total", "miss") == 3 * len(TEXTS)


def test_each_has_its_own_deadline(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"cache_texts": 10}) as harness, ThreadPoolExecutor(2) as pool:
        harness.engine.gate.clear()
        leader = pool.submit(harness.client.get, "/check?content=a")
        assert harness.engine.entered.wait(30)
        hurried = harness.client.get("/check?content=a", headers={"x-thinfer-deadline-ms": "40"})
        assert (hurried.status_code, hurried.json()["error_type"]) == (429, "deadline")
        harness.engine.gate.set()
        assert leader.result().status_code == 200
        assert len(harness.engine.calls) == 1


def test_answers_from_memory_do_not_make_a_version_look_faster(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"cache_texts": 10}) as harness:
        for _ in range(5):
            assert harness.client.get("/check?content=a").status_code == 200
        samples = harness.samples()
        assert samples["thinfer_infer_seconds_count"] == samples["thinfer_queue_seconds_count"] == 1
        assert sum_samples(samples, "thinfer_version_infer_seconds_count") == 1
        assert sum_samples(samples, "thinfer_version_texts_total") == 5
        assert sum_samples(samples, "thinfer_request_seconds_count") == 5


class Chaos:
    """An engine whose tickets end in any order, some badly, and requests that come and go."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.cache = TextCache(RowStore(max_rows=4, max_bytes=10**6), count=lambda *_: None)
        self.sources = [Source(), Source()]
        self.open: list[tuple[int, Ticket]] = []  # source and ticket, not ended
        self.left: set[Ticket] = set()
        self.live: list[tuple[int, list[int], SharedTicket, list[Ticket]]] = []
        self.answered = self.failed = 0

    def submit(self) -> None:
        which = int(self.rng.integers(2))
        texts = self.rng.integers(1, 8, size=self.rng.integers(1, 5)).tolist()
        asked: list[Ticket] = []

        def ask(batch: Batch) -> Ticket:
            done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            ticket = Ticket(batch=batch, permit=Permit(places=0), done=done, queued_s=0.0)
            self.open.append((which, ticket))
            asked.append(ticket)
            return ticket

        def leave(ticket: Ticket) -> None:
            self.left.add(ticket)
            ticket.done.cancel()

        batch = Batch.from_sequences([[text] for text in texts])
        shared = self.cache.submit(self.sources[which], batch, ask=ask, leave=leave)
        self.live.append((which, texts, shared, asked))

    def end_a_ticket(self) -> None:
        if not self.open:
            return
        which, ticket = self.open.pop(int(self.rng.integers(len(self.open))))
        if ticket.done.done():
            return
        if self.rng.random() < 0.3:
            what = "chaos"
            ticket.done.set_exception(EngineError(what))
        else:
            ids = ticket.batch.ids.astype(np.float32)
            ticket.done.set_result(np.stack([ids, np.full_like(ids, which)], axis=1))

    def leave_or_take(self) -> None:
        if not self.live:
            return
        which, texts, shared, asked = self.live.pop(int(self.rng.integers(len(self.live))))
        if shared.done.done():
            if shared.done.exception() is None:
                found = shared.done.result()
                assert found.tolist() == [[text, which] for text in texts]
                self.answered += 1
            else:  # only what it asked for by itself can have failed it
                assert any(ticket.done.done() and ticket.done.exception() for ticket in asked)
                self.failed += 1
        self.cache.leave(shared)
        for ticket in self.left:  # whoever still waits has lost nothing by it
            for _, _, other, _ in self.live:
                assert not any(flight.ticket is ticket for flight in other._pending)

    async def run(self, steps: int) -> None:
        actions = [self.submit, self.submit, self.end_a_ticket, self.leave_or_take]
        for _ in range(steps):
            actions[int(self.rng.integers(len(actions)))]()
            if self.rng.random() < 0.5:
                await asyncio.sleep(0)
            assert len(self.cache.store) <= 4
        while self.live:
            while self.open:
                self.end_a_ticket()
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.leave_or_take()
        assert self.cache._flying == {}


@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes_leaves_and_fails_nobody_gets_another_answer(seed: int) -> None:
    chaos = Chaos(seed)
    asyncio.run(chaos.run(400))
    assert chaos.answered > 20
    assert chaos.failed > 5

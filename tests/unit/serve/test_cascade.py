"""The cascade inside a service: who answers what; the bigger model's faults stay its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.cascades import ALWAYS, NEVER, StubUpstream, make_policy, middle_threshold
from tests.support.serving import Harness, serving
from thinfer.bundle import Bundle
from thinfer.classifier import Classifier
from thinfer.core.clock import ManualClock
from thinfer.errors import DataError, UserError
from thinfer.quality.cascade import CascadePolicy
from thinfer.serve.breaker import Breaker
from thinfer.serve.budget import Budget
from thinfer.serve.cascade import Cascade, Relay, open_cascade
from thinfer.serve.errors import UpstreamError
from thinfer.serve.observe import Metrics
from thinfer.serve.settings import ServeSettings
from thinfer.serve.ticket import Logits
from thinfer.text.long_text import HEAD, LongText

TEXTS = [f"text {number} 你好" for number in range(40)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    bundle = make_fake_bundle(tmp_path_factory.mktemp("small") / "bundle")
    with Classifier.open(bundle) as classifier:
        yield classifier


class Bench:
    """A cascade in front of a stub, on a clock that stands still."""

    def __init__(
        self, small: Classifier, policy: CascadePolicy, *, share: float = 1.0, failures: int = 2
    ) -> None:
        self.small, self.clock = small, ManualClock()
        self.metrics = Metrics()
        self.upstream = StubUpstream(self.answer)
        self.cascade = Cascade(
            policy,
            self.upstream,
            breaker=Breaker(failures=failures, cooldown_s=10, clock=self.clock),
            budget=Budget(share, window_s=60, clock=self.clock),
            timeout_s=0.05,
            metrics=self.metrics,
            clock=self.clock,
        )

    @staticmethod
    def answer(texts: Sequence[str]) -> Logits:
        return np.tile(np.asarray([9.0, 0.0, 0.0], dtype=np.float32), (len(texts), 1))

    def relay(self, texts: Sequence[str] = TEXTS, *, left_s: float | None = None) -> Relay:
        logits = self.small.logits(texts)
        done = self.cascade.complete(self.small, logits, texts, left_s=left_s)
        found = asyncio.run(done)
        assert found is not None
        return found

    def counts(self) -> dict[str, float]:
        (family,) = self.metrics.cascade.collect()
        return {
            sample.labels["outcome"]: sample.value
            for sample in family.samples
            if sample.name.endswith("_total")
        }


def test_only_texts_below_the_threshold_go_on(small: Classifier) -> None:
    policy = make_policy(small.bundle, threshold=middle_threshold(small, TEXTS))
    bench = Bench(small, policy)
    relay = bench.relay()
    logits = small.logits(TEXTS)
    goes_on = policy.goes_on(logits)
    assert goes_on.sum() == len(TEXTS) // 2
    assert relay.cloud.tolist() == goes_on.tolist()
    assert not relay.degraded.any()
    assert bench.upstream.asked == [[text for text, on in zip(TEXTS, goes_on, strict=True) if on]]
    np.testing.assert_array_equal(relay.logits[~goes_on], logits[~goes_on])
    np.testing.assert_array_equal(relay.logits[goes_on], bench.answer(TEXTS)[goes_on])
    assert bench.counts() == {"local": 20, "upstream": 20}
    assert dict(relay.headers)[b"x-thinfer-stage"] == b"mixed"


def test_none_and_all(small: Classifier) -> None:
    never = Bench(small, make_policy(small.bundle, threshold=NEVER))
    relay = never.relay()
    assert not never.upstream.asked
    assert relay.headers == [(b"x-thinfer-stage", b"edge")]
    assert relay.describe(0) == {"stage": "edge"}
    always = Bench(small, make_policy(small.bundle, threshold=ALWAYS))
    relay = always.relay()
    assert relay.cloud.all()
    assert relay.describe(0) == {"stage": "cloud"}
    assert dict(relay.headers)[b"x-thinfer-cloud-version"] == b"b" * 12


def test_over_budget_the_least_sure_go_on_and_the_rest_is_degraded(small: Classifier) -> None:
    bench = Bench(small, make_policy(small.bundle, threshold=ALWAYS), share=0.25)
    relay = bench.relay()
    assert (relay.cloud.sum(), relay.degraded.sum()) == (10, 30)
    best = np.exp(small.logits(TEXTS)).max(axis=1) / np.exp(small.logits(TEXTS)).sum(axis=1)
    assert best[relay.cloud].max() <= best[relay.degraded].min()
    assert bench.counts() == {"upstream": 10, "degraded_budget": 30}
    assert dict(relay.headers)[b"x-thinfer-degraded"] == b"30"
    again = bench.relay(TEXTS[:1])
    assert again.degraded.all()
    assert again.describe(0) == {"stage": "edge", "degraded": True}


def test_failures_degrade_and_open_the_breaker_which_lets_one_try_later(
    small: Classifier,
) -> None:
    def fail(texts: Sequence[str]) -> Logits:
        what = "no"
        raise UpstreamError(what, got=str(len(texts)))

    bench = Bench(small, make_policy(small.bundle, threshold=ALWAYS))
    bench.upstream.answer = fail
    for _ in range(4):
        relay = bench.relay(TEXTS[:3])
        assert relay.degraded.all()
        np.testing.assert_array_equal(relay.logits, small.logits(TEXTS[:3]))
    assert len(bench.upstream.asked) == 2
    assert bench.counts() == {"degraded_failed": 6, "degraded_breaker": 6}
    assert "thinfer_cascade_breaker 2.0" in bench.metrics.render().decode()
    bench.clock.advance(10)
    assert "thinfer_cascade_breaker 1.0" in bench.metrics.render().decode()
    bench.upstream.answer = bench.answer
    assert bench.relay(TEXTS[:3]).cloud.all()
    assert "thinfer_cascade_breaker 0.0" in bench.metrics.render().decode()


def test_an_answer_too_late_is_a_failure(small: Classifier) -> None:
    async def hang(
        texts: Sequence[str], pairs: Sequence[str] | None, *, long_text: LongText = HEAD
    ) -> Logits:
        await asyncio.sleep(60)
        return Bench.answer(texts)

    bench = Bench(small, make_policy(small.bundle, threshold=ALWAYS), failures=1)
    bench.upstream.ask = hang  # type: ignore[method-assign]
    assert bench.relay().degraded.all()
    assert bench.counts() == {"degraded_failed": 40}
    assert bench.relay().degraded.all()
    assert bench.counts()["degraded_breaker"] == 40


def test_a_client_in_a_hurry_does_not_open_the_breaker(small: Classifier) -> None:
    async def hang(
        texts: Sequence[str], pairs: Sequence[str] | None, *, long_text: LongText = HEAD
    ) -> Logits:
        await asyncio.sleep(60)
        return Bench.answer(texts)

    bench = Bench(small, make_policy(small.bundle, threshold=ALWAYS), failures=1)
    bench.upstream.ask = hang  # type: ignore[method-assign]
    for left_s in (0.01, 0.0, -1.0):
        assert bench.relay(TEXTS[:1], left_s=left_s).degraded.all()
    assert bench.counts() == {"degraded_failed": 3}
    assert "thinfer_cascade_breaker 0.0" in bench.metrics.render().decode()
    bench.relay(TEXTS[:1], left_s=10.0)
    assert "thinfer_cascade_breaker 2.0" in bench.metrics.render().decode()


def test_a_spent_budget_takes_no_leave_from_the_breaker(small: Classifier) -> None:
    bench = Bench(small, make_policy(small.bundle, threshold=ALWAYS), share=0.0)
    for _ in range(5):
        bench.relay(TEXTS[:2])
    assert bench.counts() == {"degraded_budget": 10}


def test_another_bundle_than_the_policys_answers_for_itself(
    small: Classifier, tmp_path: Path
) -> None:
    bench = Bench(small, make_policy(small.bundle, threshold=ALWAYS))
    with Classifier.open(make_fake_bundle(tmp_path / "other", seed=9)) as other:
        logits = other.logits(["a"])
        assert asyncio.run(bench.cascade.complete(other, logits, ["a"])) is None
    assert bench.counts() == {}


@contextmanager
def cascading(
    folder: Path,
    **settings: Any,  # noqa: ANN401 - settings
) -> Iterator[tuple[Harness, Bundle]]:
    """A service whose texts all go on to another bundle in the same process."""
    big = make_fake_bundle(folder / "big", options={"salt": 3}, seed=3)
    small = make_fake_bundle(folder / "same")  # `serving` writes the same one again
    make_policy(small, big, threshold=ALWAYS).write(folder / "cascade.json")
    told = {"cascade": folder / "cascade.json", "cascade_to": str(big.path), **settings}
    with serving(folder, settings=told) as harness:
        yield harness, big


def test_a_bigger_bundle_in_the_process_answers_and_says_so(tmp_path: Path) -> None:
    with cascading(tmp_path) as (harness, big):
        with Classifier.open(big) as classifier:
            expected = classifier.predict(["hello"])[0]
        answer = harness.client.get("/check", params={"content": "hello"})
        assert answer.json() == {
            "content": "hello",
            "result": expected.label,
            "probability": pytest.approx(expected.score),
            "truncated": False,
            "tokens": expected.tokens,
            "tokens_total": expected.tokens,
            "stage": "cloud",
        }
        assert answer.headers["x-thinfer-stage"] == "cloud"
        assert answer.headers["x-thinfer-cloud-version"] == big.version
        assert answer.headers["x-thinfer-version"] == harness.classifier.version
        body = {"inputs": [["a", "b"], ["c", "d"]]}
        many = harness.client.post("/predict", json=body)
        with Classifier.open(big) as classifier:
            found = [row[0]["label"] for row in many.json()]
            assert found == [item.label for item in classifier.predict(["a", "c"], ["b", "d"])]
        assert harness.samples()['thinfer_cascade_total{outcome="upstream"}'] == 3
        assert harness.samples()["thinfer_cascade_seconds_count"] == 2


def test_an_upstream_that_is_away_costs_the_mark_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("httpx2", reason="the extra 'cascade' brings it")
    settings = {"cascade_to": "http://127.0.0.1:1", "cascade_failures": 1}
    with cascading(tmp_path, **settings) as (harness, _):
        (expected,) = harness.classifier.predict(["hello"])
        for _ in range(3):
            answer = harness.client.get("/check", params={"content": "hello"})
            assert answer.status_code == 200
            assert answer.json()["result"] == expected.label
            assert (answer.json()["stage"], answer.json()["degraded"]) == ("edge", True)
            assert answer.headers["x-thinfer-degraded"] == "1"
        samples = harness.samples()
        assert samples['thinfer_cascade_total{outcome="degraded_failed"}'] == 1
        assert samples['thinfer_cascade_total{outcome="degraded_breaker"}'] == 2
        assert harness.client.get("/readyz").status_code == 200


def open_with(small: Classifier, policy: Path, to: Path) -> Cascade | None:
    settings = ServeSettings(cascade=policy, cascade_to=str(to))
    metrics = Metrics()
    return open_cascade(small, settings, metrics=metrics, clock=ManualClock())


def test_policies_of_other_bundles_are_refused_at_the_start(
    small: Classifier, tmp_path: Path
) -> None:
    big = make_fake_bundle(tmp_path / "big", options={"salt": 3}, seed=3)
    other = make_fake_bundle(tmp_path / "other", seed=9)
    file = tmp_path / "cascade.json"
    make_policy(other, big).write(file)
    with pytest.raises(DataError, match="another small model"):
        open_with(small, file, big.path)
    make_policy(small.bundle, other).write(file)
    with pytest.raises(DataError, match="another big model"):
        open_with(small, file, big.path)
    metrics = Metrics()
    assert open_cascade(small, ServeSettings(), metrics=metrics, clock=ManualClock()) is None


def test_another_engine_and_an_unproven_policy_are_told(
    small: Classifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    big = make_fake_bundle(tmp_path / "big", options={"salt": 3}, seed=3)
    policy = make_policy(small.bundle, big)
    stage = replace(policy.small, precision="int8")
    judged = {"verdict": "unproven"}
    replace(policy, small=stage, test=judged).write(tmp_path / "cascade.json")
    with caplog.at_level("WARNING"):
        cascade = open_with(small, tmp_path / "cascade.json", big.path)
    assert cascade is not None
    asyncio.run(_start_and_stop(cascade))
    assert "int8" in caplog.text
    assert "not proven" in caplog.text


async def _start_and_stop(cascade: Cascade) -> None:
    cascade.start()
    await cascade.stop()


def test_the_key_file_of_the_upstream_is_read_at_the_start(
    small: Classifier, tmp_path: Path
) -> None:
    make_policy(small.bundle).write(tmp_path / "cascade.json")
    settings = ServeSettings(
        cascade=tmp_path / "cascade.json",
        cascade_to="http://127.0.0.1:1",
        cascade_key_file=tmp_path / "key",
    )
    with pytest.raises(UserError, match="key"):
        open_cascade(small, settings, metrics=Metrics(), clock=ManualClock())
    (tmp_path / "key").write_text("k" * 32, encoding="utf-8")
    assert open_cascade(small, settings, metrics=Metrics(), clock=ManualClock()) is not None


def test_a_text_that_the_bigger_model_cannot_read_is_no_failure_of_it(small: Classifier) -> None:
    bench = Bench(small, make_policy(small.bundle, threshold=ALWAYS), failures=1)

    def refuse(texts: Sequence[str]) -> Logits:
        what = "too long"
        raise DataError(what)

    bench.upstream.answer = refuse
    for _ in range(3):
        assert bench.relay().degraded.all()
    assert len(bench.upstream.asked) == 3  # the breaker let each of them through


def test_long_texts_go_on_with_the_rule_of_their_request(tmp_path: Path) -> None:
    with cascading(tmp_path) as (harness, big):
        text = "a b c d e f g h i j k l m n o p q r s t u v w x y z"
        with Classifier.open(big) as classifier:
            (expected,) = classifier.predict([text], long_text="windows")
        query = {"content": text, "long_text": "windows"}
        answer = harness.client.get("/check", params=query).json()
        assert (answer["stage"], answer["windows"]) == ("cloud", 2)
        body = {"inputs": [text, "a"], "details": True}
        details = harness.client.post("/predict", json=body).json()
        assert [row["stage"] for row in details] == ["cloud", "cloud"]
        assert answer["probability"] == pytest.approx(expected.score)

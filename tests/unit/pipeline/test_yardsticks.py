"""Who is asked what, and what is said of the cheap models."""

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.bert_vocab import VOCABULARY
from tests.support.toy_models import toy_architecture, toy_state
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.pipeline import textcnn, yardsticks
from thinfer.pipeline.data import label_corpus
from thinfer.pipeline.yardsticks import (
    Yardsticks,
    describe_yardsticks,
    fit_yardsticks,
    warn_about_yardsticks,
)
from thinfer.quality.labels import LabelSet
from thinfer.text.corpus import Corpus

pytest.importorskip("sklearn", reason="the linear model needs scikit-learn")
LABELS = LabelSet(("no", "yes"))
WORDS = [word for word in VOCABULARY if word.isascii() and word.isalpha()]


def corpus(rows: int, seed: int) -> Corpus:
    """Texts that say yes where the first word of the vocabulary is in them."""
    drawn = np.random.default_rng(seed).integers(0, 5, size=(rows, 4))
    return Corpus(
        texts=tuple(" ".join(WORDS[word] for word in row) for row in drawn),
        labels=tuple(LABELS.names[int((row == 0).any())] for row in drawn),
    )


class Teacher:
    """Answers right, and remembers what it was asked."""

    def __init__(self, speed: float | None) -> None:
        self.facts = {"texts_per_second": speed}
        self.asked: list[str] = []
        self.is_open = False

    def open(self, threads: int) -> "Teacher":
        assert threads == 1
        self.is_open = True
        return self

    def run(self, texts: Sequence[str], pairs: Sequence[str] | None) -> NDArray[np.float32]:
        assert self.is_open
        assert pairs is None
        self.asked += texts
        yes = np.array([WORDS[0] in text.split() for text in texts])
        return np.where(np.arange(2) == yes[:, None], 4.0, -4.0).astype(np.float32)

    def close(self) -> None:
        self.is_open = False


def make_job(unlabelled: Corpus | None = None, missed: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - a stand-in
    sets = SimpleNamespace(
        train=label_corpus(corpus(300, 0), LABELS),
        dev=label_corpus(corpus(80, 1), LABELS),
        test=label_corpus(corpus(90, 2), LABELS),
        unlabelled=unlabelled,
    )
    return SimpleNamespace(
        sets=sets,
        request=SimpleNamespace(seed=0),
        original=toy_state(toy_architecture(classes=2)),
        labels=LABELS,
        threads=1,
        progress=SilentProgress(),
        clock=SystemClock(),
        rng=lambda: np.random.default_rng(0),
        measure=lambda part, answers: {"accuracy": float((answers == part.truth).mean())},
        missed_floors=lambda answers, is_kin: missed,
    )


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textcnn, "_FEWEST_STEPS", 60)
    monkeypatch.setattr(yardsticks, "_FEWEST_TEXTS", 16)


def fit(job: Any, teacher: Teacher) -> Yardsticks:  # noqa: ANN401 - a stand-in
    return fit_yardsticks(job, teacher)  # type: ignore[arg-type]  # a stand-in


def test_a_fast_teacher_answers_everything_unlabelled_text_too() -> None:
    more, teacher = dataclasses.replace(corpus(50, 3), labels=None), Teacher(1e6)
    job = make_job(more)
    found = fit(job, teacher)
    assert sorted(teacher.asked) == sorted([*job.sets.train.corpus.texts, *more.texts])
    assert not teacher.is_open
    assert found.textcnn.taught_rows == 350
    assert (found.textcnn.test == job.sets.test.truth).mean() > 0.9
    assert (found.linear.test == job.sets.test.truth).mean() > 0.9


@pytest.mark.parametrize("speed", [None, 2.0])
def test_a_slow_teacher_is_asked_less(speed: float | None) -> None:
    teacher = Teacher(speed)
    found = fit(make_job(), teacher)
    wanted = 16 if speed is None else 30
    assert len(teacher.asked) == wanted
    assert found.textcnn.taught_rows == wanted


@pytest.mark.parametrize("missed", [(), ("accuracy>=99.5%",)])
def test_one_that_clears_the_floors_is_named(missed: tuple[str, ...]) -> None:
    job = make_job(missed=missed)
    found = fit(job, Teacher(1e6))
    described = describe_yardsticks(job, found)
    assert set(described) == {"linear", "textcnn"}
    for row in described.values():
        assert row["missed_on_dev"] == list(missed)
        assert row["size_bytes"] > 0
        assert set(row["metrics"]) == set(row["dev_metrics"]) == {"accuracy"}
    assert described["textcnn"]["epochs"] > 0
    warnings = warn_about_yardsticks(job, found)
    assert len(warnings) == (0 if missed else 2)
    assert all("may not need a transformer" in warning for warning in warnings)

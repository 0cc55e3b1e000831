"""Shorter texts: which limits are worth a trial, and a state that really cuts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.toy_models import MAX_LENGTH, toy_state
from thinfer.compress.state import State
from thinfer.core.progress import SilentProgress
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.shorten import offer_lengths, shorten, shorten_best
from thinfer.pipeline.states import StateTrial
from thinfer.quality.labels import LabelSet
from thinfer.text.corpus import Corpus


def lengths(*parts: tuple[int, int]) -> Any:  # noqa: ANN401 - an array
    return np.repeat([tokens for tokens, _ in parts], [texts for _, texts in parts])


def test_percentiles_are_rounded_up_longest_first() -> None:
    train = lengths((20, 910), (61, 41), (100, 41), (500, 8))
    assert offer_lengths(train, train) == (104, 64, 24)


@pytest.mark.parametrize("longest", [20, 24])
def test_nothing_is_offered_where_no_text_is_longer(longest: int) -> None:
    train = lengths((20, 900), (longest, 100))
    assert offer_lengths(train, train) == ()


def test_what_cuts_next_to_nothing_is_not_offered() -> None:
    assert offer_lengths(lengths((64, 999), (70, 1)), lengths((64, 999), (70, 1))) == ()


def test_training_texts_decide_the_limit_and_dev_whether_it_pays() -> None:
    train = lengths((16, 900), (64, 100))
    assert offer_lengths(train, lengths((16, 100))) == ()
    assert offer_lengths(lengths((16, 100)), train) == (16,)


WORDS = ("the cat sat", "on the mat " * 6)


def make_job(folder: Path, *, is_strict: bool = False) -> Any:  # noqa: ANN401 - stands in for a run
    texts = WORDS * 30
    part = LabelledSet(
        corpus=Corpus(
            name="toy",
            texts=texts,
            pairs=None,
            labels=None,
            rows=tuple(range(len(texts))),
            digest="",
            dropped_empty=0,
        ),
        truth=np.zeros(len(texts), dtype=np.int64),
    )
    (folder / "states").mkdir()

    def keep(name: str, like: State, make: Any) -> State:  # noqa: ANN401 - a stand-in
        (folder / "states" / name).mkdir()
        made: State = make()
        return made

    return SimpleNamespace(
        original=toy_state(),
        original_dev=np.zeros(len(texts), dtype=np.int64),
        labels=LabelSet(("a", "b", "c")),
        progress=SilentProgress(),
        sets=SimpleNamespace(dev=part),
        calibration=lambda tokenizer: part.encode(tokenizer).batch,
        workspace=SimpleNamespace(state=keep, folder=lambda name: folder / name),
        answers=lambda logits: logits.argmax(axis=1),
        missed_floors=lambda answers, margin_se=1.0: ("accuracy>=99%",) if is_strict else (),
    )


def whole_trial(job: Any) -> StateTrial:  # noqa: ANN401 - a stand-in
    state = job.original
    batch = job.sets.dev.encode(state.tokenizer).batch
    logits = compute_logits(state.module(), batch, pad_id=state.pad_id)
    return StateTrial(name="dense", state=state, logits=logits, missed=())


def test_a_shorter_state_cuts_its_texts_and_answers_the_others_as_before(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    whole = whole_trial(job)
    found = shorten(job, whole, 8)
    assert (found.name, found.base) == ("dense-length-8", whole)
    assert found.state.max_length == found.state.architecture.max_length == 8
    assert found.state.tokenizer.max_length == 8 < MAX_LENGTH
    batch = job.sets.dev.encode(found.state.tokenizer).batch
    assert batch.lengths.max() == 8
    again = compute_logits(found.state.module(), batch, pad_id=found.state.pad_id)
    np.testing.assert_allclose(found.logits, again, atol=1e-5)
    short = np.arange(0, len(whole.logits), 2)
    np.testing.assert_array_equal(found.logits[short], whole.logits[short])
    assert np.abs(found.logits[1] - whole.logits[1]).max() > 1e-3


def candidate(refused: str | None, macs: int, speed: float = 1.0, form: str = "other") -> Any:  # noqa: ANN401 - stands in for a candidate
    facts = {"refused": refused, "macs": macs, "dev_texts_per_second": speed}
    return SimpleNamespace(facts=facts, form=form)


def test_the_least_work_that_cleared_is_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path)
    monkeypatch.setattr("thinfer.pipeline.shorten.find_lengths", lambda job: (16, 8))
    whole = whole_trial(job)
    other = StateTrial(name="other", state=whole.state, logits=whole.logits, missed=())
    best = candidate(None, 5, speed=2.0, form="best")
    tried = [
        (candidate(None, 9), other),
        (candidate(None, 5), whole),
        (best, whole),
        (candidate("on dev", 1), other),
    ]
    dropped: dict[str, Any] = {}
    form, found = shorten_best(job, tried, dropped)
    assert form is best.form
    assert [trial.name for trial in found] == ["dense-length-8", "dense-length-16"]
    assert dropped == {}
    # What is there already is not made again, and a shorter state is not shortened further.
    more = [*tried, *((candidate(None, 4), trial) for trial in found)]
    assert shorten_best(job, more, {})[1] == ()


def test_a_limit_that_misses_a_floor_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path, is_strict=True)
    monkeypatch.setattr("thinfer.pipeline.shorten.find_lengths", lambda job: (8,))
    dropped: dict[str, Any] = {}
    _, found = shorten_best(job, [(candidate(None, 5), whole_trial(job))], dropped)
    assert found == ()
    assert list(dropped) == ["dense-length-8"]
    assert "accuracy>=99% is not cleared" in dropped["dense-length-8"]["refused"]


@pytest.mark.parametrize("refused", ["on dev, x", None])
def test_nothing_is_tried_without_a_good_candidate_or_longer_texts(
    tmp_path: Path, refused: str | None
) -> None:
    job = make_job(tmp_path)
    if refused is None:
        job.sets.dev = job.sets.dev.__class__(
            corpus=job.sets.dev.corpus.select(range(0, 60, 2)), truth=np.zeros(30, dtype=np.int64)
        )
    dropped: dict[str, Any] = {}
    assert shorten_best(job, [(candidate(refused, 5), whole_trial(job))], dropped)[1] == ()
    assert dropped == {}

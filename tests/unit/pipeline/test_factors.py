"""The chain from the original to the chosen form, with speeds that the test decides."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.toy_models import toy_architecture, toy_state
from thinfer.compress.embedding import prune_positions
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.engine.base import EngineSpec
from thinfer.errors import EngineError
from thinfer.pipeline import factors
from thinfer.pipeline.candidate import Candidate, Form
from thinfer.pipeline.states import StateTrial

SPEC = EngineSpec(name="onnxruntime", precision="int8", files=())


def as_candidate(form: Form, state: State) -> Candidate:
    return Candidate(form=form, state=state, spec=SPEC, folder=Path("nowhere"))


def measure(
    monkeypatch: pytest.MonkeyPatch,
    speeds: Mapping[str, float],
    small: State,
    broken: str | None = None,
    *,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Measure the factors of `width-onnxruntime-int8`; `broken` is a form that cannot be made."""

    def build(workspace: object, form: Form, state: State, calibration: object) -> Candidate:
        if form.name == broken:
            raise EngineError("the gate says no")
        return as_candidate(form, state)

    def build_plain(workspace: object, name: str, state: State, *, grouping: str) -> Candidate:
        assert grouping == "length"
        form = Form(state=name, engine="onnxruntime", precision="fp32", label=name)
        return as_candidate(form, state)

    def speed(job: object, original: Candidate, items: Sequence[Candidate], *, rounds: int) -> None:
        assert rounds > 0
        for item in items:
            if not item.facts.get("refused"):
                item.facts["speedup"] = speeds[item.name]

    monkeypatch.setattr(factors, "build_candidate", build)
    monkeypatch.setattr(factors, "build_plain", build_plain)
    monkeypatch.setattr(factors, "measure_speeds", speed)
    dense = toy_state()
    trials = [
        StateTrial(name=name, state=state, logits=None, missed=())
        for name, state in (("dense", dense), ("width", small))
    ]
    forms = [Form(state=trial.name, engine="onnxruntime", precision="int8") for trial in trials]
    tried = [
        (as_candidate(form, trial.state), trial) for form, trial in zip(forms, trials, strict=True)
    ]
    if limit is not None:
        state, _ = prune_positions(small, limit)
        trials.append(StateTrial(name="short", state=state, logits=None, missed=(), base=trials[1]))
        form = Form(state="short", engine="onnxruntime", precision="int8")
        tried.append((as_candidate(form, state), trials[2]))
    if broken == "refused":
        tried[0][0].facts["refused"] = "parity: no"
    truncated = np.array([True, False])
    dev = SimpleNamespace(encode=lambda tokenizer: SimpleNamespace(truncated=truncated))
    job: Any = SimpleNamespace(
        workspace=None, calibration=lambda tokenizer: None, sets=SimpleNamespace(dev=dev)
    )
    original = as_candidate(Form(state="original", engine="onnxruntime", precision="fp32"), dense)
    return factors.measure_factors(job, original, tried[-1][0], trials[-1], tried)


SPEEDS = {
    "split-by-length": 1.25,
    "cut-embeddings": 1.5,
    "dense-onnxruntime-fp32": 1.8,
    "dense-onnxruntime-int8": 4.0,
    "width-blocks-onnxruntime-int8": 5.0,
    "width-onnxruntime-int8": 8.0,
}
NAMES = ["length handling", "vocabulary", "engine", "precision", "depth", "width"]


def narrow(*layers: tuple[int, int]) -> State:
    return dataclasses.replace(toy_state(toy_architecture(layers)), labels=toy_state().labels)


def test_each_factor_is_the_ratio_to_the_form_before(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure(monkeypatch, SPEEDS, narrow((2, 16), (0, 8)))
    assert [item["name"] for item in found] == NAMES
    got = [item["factor"] for item in found]
    assert got == pytest.approx([1.25, 1.5 / 1.25, 1.8 / 1.5, 4 / 1.8, 5 / 4, 8 / 5])
    assert math.prod(got) == pytest.approx(8.0)
    assert "1 attention and 0 FFN blocks left out" in found[4]["detail"]
    assert "8 → 2 heads, 64 → 24 neurons" in found[5]["detail"]


def test_without_a_block_left_out_depth_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure(monkeypatch, SPEEDS, narrow((2, 16), (2, 8)))
    assert [item["name"] for item in found] == NAMES
    assert found[4]["factor"] == 1
    assert math.prod(item["factor"] for item in found) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("broken", "place"),
    [("dense-onnxruntime-fp32", 2), ("width-blocks-onnxruntime-int8", 4), ("refused", 3)],
)
def test_a_form_that_cannot_be_timed_goes_to_the_next_factor(
    monkeypatch: pytest.MonkeyPatch, broken: str, place: int
) -> None:
    found = measure(monkeypatch, SPEEDS, narrow((2, 16), (0, 8)), broken)
    assert found[place]["factor"] == 1
    assert "cannot be timed by itself" in found[place]["detail"]
    assert math.prod(item["factor"] for item in found) == pytest.approx(8.0)


def test_shorter_texts_are_a_factor_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {**SPEEDS, "short-onnxruntime-int8": 12.0}
    found = measure(monkeypatch, speeds, narrow((2, 16), (0, 8)), limit=8)
    assert [item["name"] for item in found] == [*NAMES, "max length"]
    assert [item["factor"] for item in found[-2:]] == pytest.approx([8 / 5, 12 / 8])
    assert found[-1]["detail"] == "at most 24 → 8 tokens of a text; 1 dev texts are cut"
    assert math.prod(item["factor"] for item in found) == pytest.approx(12.0)


def test_a_layer_left_out_whole_is_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    report = StepReport(step="prune", outcome="applied", details={"drop_layers": [1]})
    small = narrow((2, 16)).replace(report)
    found = measure(monkeypatch, SPEEDS, small)
    assert [item["name"] for item in found] == NAMES
    assert found[4]["factor"] == pytest.approx(5 / 4)
    assert found[4]["detail"].startswith("whole layers left out: 1;")


def test_a_student_has_a_size_and_neither_depth_nor_width(monkeypatch: pytest.MonkeyPatch) -> None:
    small = narrow((2, 16)).replace(StepReport(step="student", outcome="applied"))
    found = measure(monkeypatch, SPEEDS, small)
    assert [item["name"] for item in found] == [*NAMES[:4], "size"]
    assert found[-1]["detail"] == "2 × 16 → 1 × 16 layers × hidden, distilled"
    assert math.prod(item["factor"] for item in found) == pytest.approx(8.0)

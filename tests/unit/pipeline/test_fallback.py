"""Which INT8 forms are rescued, in what steps, and when the rescue ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.toy_models import toy_batch, toy_state
from thinfer.core.progress import SilentProgress
from thinfer.engine.base import EngineSpec, Precision
from thinfer.pipeline import fallback
from thinfer.pipeline.candidate import Candidate, Form
from thinfer.pipeline.fallback import fall_back, list_steps, needs_rescue
from thinfer.pipeline.states import StateTrial

STATE = toy_state()
MISSED = "on dev, accuracy>=99.5% is not cleared by one paired standard error"
SPEC = EngineSpec(name="onnxruntime", precision="int8", files=())


def trial_of(name: str = "dense", *, missed: Sequence[str] = ()) -> StateTrial:
    return StateTrial(name=name, state=STATE, logits=None, missed=tuple(missed))


def judged(form: Form, refused: str | None, *, has_run: bool = True) -> Candidate:
    parity = {"parity": {"rows": 9}} if has_run else {}
    facts: dict[str, Any] = {"refused": refused, "name": form.name, **parity}
    return Candidate(form=form, state=STATE, spec=SPEC, folder=Path("nowhere"), facts=facts)


def plain(refused: str | None = MISSED, precision: Precision = "int8") -> Candidate:
    return judged(Form(state="dense", engine="onnxruntime", precision=precision), refused)


def rescue(
    tmp_path: Path,
    clears: Sequence[str],
    *,
    retrain: str = "none",
    candidate: Candidate | None = None,
    trial: StateTrial | None = None,
    is_able: bool = True,
) -> list[tuple[Candidate, StateTrial]]:
    """Fall back where the forms named clear the floors and all others miss one."""
    for name in ("dense", "dense-quantaware"):
        (tmp_path / "states" / name).mkdir(parents=True, exist_ok=True)
    job: Any = SimpleNamespace(
        request=SimpleNamespace(retrain=retrain),
        workspace=SimpleNamespace(folder=lambda name: tmp_path / name),
        calibration=lambda tokenizer: toy_batch(80, seed=3),
        progress=SilentProgress(),
    )

    def try_form(run: object, form: Form, its_trial: StateTrial) -> Candidate:
        return judged(form, None if form.name in clears else MISSED, has_run=is_able)

    given = candidate or plain()
    return list(fall_back(job, given, trial or trial_of(), try_form))


@pytest.mark.parametrize(
    ("candidate", "missed", "wanted"),
    [
        (plain(), [], True),
        (plain("parity: 'x' does not give the logits of its own torch form"), [], True),
        (plain(None), [], False),
        (plain(precision="bf16"), [], False),
        (plain(), ["accuracy>=99.5%"], False),  # what FP32 has lost, no block wins back
        (judged(plain().form, "parity: it cannot be made: no", has_run=False), [], False),
    ],
)
def test_what_only_int8_has_lost_is_rescued(
    candidate: Candidate, missed: list[str], wanted: bool, tmp_path: Path
) -> None:
    trial = trial_of(missed=missed)
    assert needs_rescue(candidate, trial) is wanted
    assert bool(rescue(tmp_path, (), candidate=candidate, trial=trial)) is wanted


def test_steps_double_and_leave_half_of_the_blocks_in_int8() -> None:
    assert [list_steps(blocks) for blocks in (2, 3, 6, 14, 26, 50)] == [
        (1,),
        (1,),
        (1, 2),
        (1, 2, 4),
        (1, 2, 4, 8),
        (1, 2, 4, 8),
    ]


def test_it_ends_with_the_first_form_that_clears(tmp_path: Path) -> None:
    forms = rescue(tmp_path, ["dense-onnxruntime-int8-keeps-1-fp32"])
    assert [item.name for item, _ in forms] == ["dense-onnxruntime-int8-keeps-1-fp32"]
    forms = rescue(tmp_path, ())
    assert [len(item.form.kept_fp32) for item, _ in forms] == [1, 2]  # of 6 blocks
    one, two = (item.form.kept_fp32 for item, _ in forms)
    losses = forms[0][0].facts["block_losses"]
    assert one == (losses[0]["block"],)
    assert two == (losses[0]["block"], losses[1]["block"])
    assert losses[0]["kl"] >= losses[1]["kl"]
    assert all(trial.name == "dense" for _, trial in forms)


def test_an_engine_that_cannot_leave_blocks_is_asked_once(tmp_path: Path) -> None:
    forms = rescue(tmp_path, (), is_able=False)
    assert [item.name for item, _ in forms] == ["dense-onnxruntime-int8-keeps-1-fp32"]


@pytest.mark.parametrize(
    ("learned", "clears", "names"),
    [
        ("applied", ["dense-quantaware-onnxruntime-int8"], ["dense-quantaware-onnxruntime-int8"]),
        (
            "applied",
            ["dense-quantaware-onnxruntime-int8-keeps-1-fp32"],
            [
                "dense-quantaware-onnxruntime-int8",
                "dense-quantaware-onnxruntime-int8-keeps-1-fp32",
            ],
        ),
        (
            "too far",
            ["dense-onnxruntime-int8-keeps-1-fp32"],
            ["dense-quantaware-onnxruntime-int8", "dense-onnxruntime-int8-keeps-1-fp32"],
        ),
        (
            "refused",
            ["dense-onnxruntime-int8-keeps-1-fp32"],
            ["dense-onnxruntime-int8-keeps-1-fp32"],
        ),
    ],
)
def test_with_retraining_the_weights_first_learn_the_rounding(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    learned: str,
    clears: list[str],
    names: list[str],
) -> None:
    told = {
        "applied": trial_of("dense-quantaware"),
        "too far": trial_of("dense-quantaware", missed=["accuracy>=99.5%"]),
        "refused": trial_of("dense"),
    }[learned]
    monkeypatch.setattr(fallback, "learn_rounding", lambda job, trial: told)
    forms = rescue(tmp_path, clears, retrain="short")
    assert [item.name for item, _ in forms] == names
    assert [trial.name for _, trial in forms] == [item.form.state for item, _ in forms]

"""The parts of the loss join as their weights say."""

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_architecture, toy_state, toy_task
from thinfer.compress.objective import DistillSettings, make_objectives
from thinfer.compress.state import State
from thinfer.errors import UserError
from thinfer.nn.predict import compute_logits, pad_inputs

BATCH, LABELS = toy_task(6, seed=3)
ROWS = np.arange(6, dtype=np.int64)
TEACHER = toy_state(toy_architecture(((4, 16), (4, 16))), seed=1)
STUDENT = toy_state(toy_architecture(((2, 8), (3, 8))), seed=2)


def loss_of(
    hidden: float, relations: float, *, student: State = STUDENT, alpha: float = 0.9
) -> float:
    master = TEACHER.module()
    settings = DistillSettings(alpha=alpha, hidden_weight=hidden, relation_weight=relations)
    taught = compute_logits(master, BATCH, pad_id=0)
    (objective,) = make_objectives(master, LABELS, taught, settings=settings, pairs=[(1, 1)])
    with torch.no_grad():
        return float(objective(student.module(), pad_inputs(BATCH, 0), ROWS))


def test_the_parts_add_up_by_their_weights() -> None:
    plain, hidden, relations = loss_of(0, 0), loss_of(1, 0), loss_of(0, 1)
    assert hidden > plain
    assert relations > plain
    together = plain + 2 * (hidden - plain) + 3 * (relations - plain)
    assert loss_of(2, 3) == pytest.approx(together, rel=1e-4)


def test_the_teacher_is_at_no_distance_from_itself() -> None:
    assert loss_of(5, 5, student=TEACHER, alpha=1.0) == pytest.approx(0, abs=1e-4)


def test_nothing_stays_hooked() -> None:
    master, module = TEACHER.module(), STUDENT.module()
    settings = DistillSettings(hidden_weight=1, relation_weight=1)
    taught = compute_logits(master, BATCH, pad_id=0)
    (objective,) = make_objectives(master, LABELS, taught, settings=settings, pairs=[(0, 1)])
    objective(module, pad_inputs(BATCH, 0), ROWS)
    for model in (master, module):
        assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": 0.0},
        {"alpha": 2.0},
        {"hidden_weight": -1.0},
        {"relation_weight": -1.0},
        {"relation_heads": 0},
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(UserError, match="settings of distillation"):
        DistillSettings(**setting)  # type: ignore[arg-type]  # fields of the settings


def test_students_of_one_batch_share_the_teachers_pass() -> None:
    master = TEACHER.module()
    taught = compute_logits(master, BATCH, pad_id=0)
    passes: list[int] = []
    master.register_forward_hook(lambda *_: passes.append(1))
    objectives = make_objectives(
        master, LABELS, taught, settings=DistillSettings(), pairs=[None, None]
    )
    for _ in range(2):  # equal texts in another batch are another batch
        inputs = pad_inputs(BATCH, 0)
        losses = [objective(STUDENT.module(), inputs, ROWS).item() for objective in objectives]
        assert losses[0] == losses[1]
    assert len(passes) == 2

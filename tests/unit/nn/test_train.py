import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.bert_vocab import small_tokenizer
from tests.support.tiny_shapes import draw_batch, make_shape
from thinfer.architecture import Architecture
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError
from thinfer.nn import (
    Checkpoint,
    Encoded,
    EncoderClassifier,
    TrainReport,
    TrainSettings,
    compute_logits,
    make_teacher_loss,
    train_classifier,
)
from thinfer.nn.loss import Constraint, Objective, make_class_loss, measure_accuracy, measure_score
from thinfer.nn.predict import Inputs
from thinfer.nn.presets import draw_encoder
from thinfer.nn.train_state import read_state
from thinfer.text.batch import Batch

SETTINGS = TrainSettings(
    epochs=4, batch_size=8, learning_rate=5e-3, precision="fp32", device="cpu", seed=3
)


class Notes(SilentProgress):
    """Keeps what it is told, and can be told to break off after some notes."""

    def __init__(self, break_after: int | None = None) -> None:
        self.lines: list[str] = []
        self.break_after = break_after

    def note(self, text: str) -> None:
        self.lines.append(text)
        if len(self.lines) == self.break_after:
            raise KeyboardInterrupt


def make_checkpoint(shape: Architecture | None = None) -> Checkpoint:
    shape = shape or make_shape((2, 16), (2, 16), classes=2)
    return Checkpoint(
        model=draw_encoder(shape, np.random.default_rng(0)),
        tokenizer=small_tokenizer(16),
        labels=tuple(f"label {index}" for index in range(shape.classes)),
        architecture=shape,
        family="ernie",
        max_length=16,
        config={},
    )


def several_labels(checkpoint: Checkpoint) -> Checkpoint:
    config = {"problem_type": "multi_label_classification"}
    return dataclasses.replace(checkpoint, config=config)


def draw_rows(rows: int, seed: int) -> Encoded:
    """Sequences that are positive when they hold the token 7."""
    rng = np.random.default_rng(seed)
    sequences, targets = [], []
    for row in range(rows):
        ids = rng.integers(8, 30, rng.integers(3, 10)).tolist()
        if row % 2:
            ids[int(rng.integers(len(ids)))] = 7
        sequences.append([1, *ids])
        targets.append(row % 2)
    return Encoded(batch=Batch.from_sequences(sequences), targets=np.array(targets, dtype=np.int64))


TRAIN, DEV = draw_rows(96, 0), draw_rows(40, 1)


def train(
    settings: TrainSettings = SETTINGS,
    *,
    folder: Path | None = None,
    notes: Notes | None = None,
    dev: Encoded | None = DEV,
) -> tuple[Checkpoint, TrainReport]:
    return train_classifier(
        make_checkpoint(),
        TRAIN,
        dev=dev,
        settings=settings,
        progress=notes or Notes(),
        clock=ManualClock(),
        resume_folder=folder,
    )


def assert_equal_weights(one: EncoderClassifier, other: EncoderClassifier) -> None:
    first, second = one.weights(), other.weights()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)


def test_it_learns_and_reports() -> None:
    notes = Notes()
    settings = dataclasses.replace(SETTINGS, epochs=12, patience=12)
    trained, report = train(settings, notes=notes)
    assert max(report.dev_accuracy) > 0.9
    assert report.dev_accuracy[report.best_epoch - 1] == max(report.dev_accuracy)
    assert report.train_loss[-1] < report.train_loss[0]
    assert (report.precision, report.stopped) == ("fp32", "finished")
    assert "dev accuracy" in notes.lines[0]
    logits = compute_logits(trained.model, DEV.batch, pad_id=0)
    assert measure_accuracy(logits, DEV.targets) == max(report.dev_accuracy)


def test_bf16_trains_too() -> None:
    trained, report = train(dataclasses.replace(SETTINGS, precision="bf16", epochs=2))
    assert report.precision == "bf16"
    assert {value.dtype for value in trained.model.state_dict().values()} == {torch.float32}


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    one, _ = train(dev=None)
    torch.rand(7)  # the state of torch's own generator must not matter
    with torch.no_grad():  # nor must a caller who switched gradients off
        other, _ = train(dev=None)
    assert_equal_weights(one.model, other.model)
    different, _ = train(dataclasses.replace(SETTINGS, seed=4), dev=None)
    assert not np.array_equal(
        different.model.weights()["head.weight"], one.model.weights()["head.weight"]
    )


def test_training_leaves_the_start_and_torch_as_they_were() -> None:
    start = make_checkpoint()
    before = start.model.weights()
    generator = torch.get_rng_state()
    train_classifier(
        start, TRAIN, dev=None, settings=SETTINGS, progress=Notes(), clock=ManualClock()
    )
    assert torch.equal(torch.get_rng_state(), generator)
    for name, value in start.model.weights().items():
        np.testing.assert_array_equal(before[name], value)


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_a_broken_run_goes_on_to_the_same_weights(tmp_path: Path, epochs_before: int) -> None:
    whole, report = train()
    # The note of an epoch comes before its state is written: the epoch after is lost.
    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path, notes=Notes(break_after=epochs_before + 1))
    notes = Notes()
    resumed, again = train(folder=tmp_path, notes=notes)
    assert notes.lines[0] == f"going on after epoch {epochs_before}"
    assert again == report
    assert_equal_weights(whole.model, resumed.model)
    finished, _ = train(folder=tmp_path)
    assert_equal_weights(whole.model, finished.model)


def test_the_state_of_another_training_is_not_taken(tmp_path: Path) -> None:
    train(dataclasses.replace(SETTINGS, epochs=1), folder=tmp_path)
    notes = Notes()
    train(dataclasses.replace(SETTINGS, epochs=1, seed=9), folder=tmp_path, notes=notes)
    assert notes.lines[0].startswith("epoch 1")


def test_a_damaged_state_is_not_taken(tmp_path: Path) -> None:
    train(dataclasses.replace(SETTINGS, epochs=1), folder=tmp_path)
    path = tmp_path / "train_state.pt"
    path.write_bytes(path.read_bytes()[:-500])
    assert read_state(tmp_path, "any") is None
    notes = Notes()
    train(dataclasses.replace(SETTINGS, epochs=1), folder=tmp_path, notes=notes)
    assert notes.lines[0].startswith("epoch 1")


def test_patience_ends_it_at_the_best_epoch() -> None:
    settings = dataclasses.replace(SETTINGS, epochs=9, patience=2, learning_rate=1e-9)
    _, report = train(settings)
    assert (report.epochs, report.best_epoch, report.stopped) == (3, 1, "patience")


def test_time_ends_it_within_an_epoch() -> None:
    clock = ManualClock()

    def slow_loss(model: EncoderClassifier, inputs: Inputs, rows: object) -> Tensor:
        clock.advance(60)
        loss: Tensor = model(*inputs).pow(2).mean() + 0.0 * len(str(rows))
        return loss

    _, report = train_classifier(
        make_checkpoint(),
        TRAIN,
        dev=DEV,
        settings=dataclasses.replace(SETTINGS, max_minutes=2.5),
        progress=Notes(),
        clock=clock,
        loss_fn=slow_loss,
    )
    assert (report.epochs, report.stopped, report.seconds) == (1, "minutes", 180.0)


def test_a_run_given_more_time_repeats_the_half_epoch(tmp_path: Path) -> None:
    whole, _ = train()
    clock = ManualClock()

    class Slow(Notes):
        def note(self, text: str) -> None:
            super().note(text)
            clock.advance(100)  # the second epoch breaks off after its first step

    _, cut = train_classifier(
        make_checkpoint(),
        TRAIN,
        dev=DEV,
        settings=dataclasses.replace(SETTINGS, max_minutes=1),
        progress=Slow(),
        clock=clock,
        resume_folder=tmp_path,
    )
    assert (cut.epochs, cut.stopped) == (2, "minutes")
    resumed, report = train(folder=tmp_path)
    assert report.stopped == "finished"
    assert_equal_weights(whole.model, resumed.model)


def test_several_labels_a_text() -> None:
    # The second label where the token 7 is, else the first.
    many = Encoded(batch=TRAIN.batch, targets=1 + TRAIN.targets)
    notes = Notes()
    trained, report = train_classifier(
        several_labels(make_checkpoint()),
        many,
        dev=many,
        settings=dataclasses.replace(SETTINGS, epochs=12, patience=12),
        progress=notes,
        clock=ManualClock(),
    )
    assert max(report.dev_micro_f1) > 0.9
    assert not report.dev_accuracy
    assert report.dev_scores == report.dev_micro_f1
    assert "dev micro F1" in notes.lines[0]
    assert trained.is_multi_label
    logits = compute_logits(trained.model, many.batch, pad_id=0)
    score = measure_score(logits, many.targets, is_multi_label=True)
    assert score == max(report.dev_micro_f1)


def test_epochs_without_a_label_are_not_waited_out() -> None:
    """A model of several labels names none at first; patience must not end it there."""
    rare = Encoded(batch=TRAIN.batch, targets=(np.arange(96) % 24 == 1).astype(np.int64))
    settings = dataclasses.replace(SETTINGS, epochs=5, patience=1, learning_rate=1e-5)
    start = several_labels(make_checkpoint())
    start.model.head.bias.data.fill_(-3.0)
    _, report = train_classifier(
        start, rare, dev=rare, settings=settings, progress=Notes(), clock=ManualClock()
    )
    assert report.dev_micro_f1 == (0.0,) * 5
    assert (report.best_epoch, report.stopped) == (5, "finished")


def test_the_kind_of_targets_is_a_part_of_the_trainings_identity(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, epochs=1)
    train(settings, folder=tmp_path)
    notes = Notes()
    train_classifier(
        several_labels(make_checkpoint()),
        TRAIN,
        dev=DEV,
        settings=settings,
        progress=notes,
        clock=ManualClock(),
        resume_folder=tmp_path,
    )
    assert notes.lines[0].startswith("epoch 1")


def test_a_teacher_can_replace_the_labels() -> None:
    wrong = 1 - TRAIN.targets
    taught = np.where(TRAIN.targets[:, None] == np.array([0, 1]), 8.0, -8.0).astype(np.float32)
    loss = make_teacher_loss(wrong, taught, alpha=1.0)
    trained, _ = train_classifier(
        make_checkpoint(),
        TRAIN,
        dev=DEV,
        settings=dataclasses.replace(SETTINGS, epochs=12, patience=12),
        progress=Notes(),
        clock=ManualClock(),
        loss_fn=loss,
    )
    logits = compute_logits(trained.model, DEV.batch, pad_id=0)
    assert measure_accuracy(logits, DEV.targets) > 0.9


def test_targets_that_do_not_fit_are_refused() -> None:
    batch = draw_batch([3, 4])
    with pytest.raises(DataError, match="fit together"):
        Encoded(batch=batch, targets=np.zeros(3, dtype=np.int64))
    for targets in (
        np.array([0, 2], dtype=np.int64),
        np.array([-1, 0], dtype=np.int64),
        np.zeros((2, 2), dtype=np.int64),
    ):
        with pytest.raises(DataError, match="labels of the model"):
            train_classifier(
                make_checkpoint(),
                Encoded(batch=batch, targets=targets),
                dev=None,
                settings=SETTINGS,
                progress=Notes(),
                clock=ManualClock(),
            )
    with pytest.raises(DataError, match="sets of labels"):
        train_classifier(
            several_labels(make_checkpoint()),
            Encoded(batch=batch, targets=np.array([3, 4], dtype=np.int64)),
            dev=None,
            settings=SETTINGS,
            progress=Notes(),
            clock=ManualClock(),
        )
    with pytest.raises(DataError, match="teacher"):
        make_teacher_loss(np.zeros(2, dtype=np.int64), np.zeros((3, 2), dtype=np.float32))


def test_a_loss_that_explodes_is_refused() -> None:
    def spoilt(model: EncoderClassifier, inputs: Inputs, rows: object) -> Tensor:
        del rows
        loss: Tensor = model(*inputs).mean() * math.nan
        return loss

    with pytest.raises(DataError, match="loss became nan"):
        train_classifier(
            make_checkpoint(),
            TRAIN,
            dev=None,
            settings=SETTINGS,
            progress=Notes(),
            clock=ManualClock(),
            loss_fn=spoilt,
        )


def test_a_constraint_holds_after_every_step_and_at_the_end() -> None:
    shares: list[float] = []

    def clear(model: EncoderClassifier, done: float) -> None:
        shares.append(done)
        with torch.no_grad():
            model.pooler.weight[:3] = 0.0

    objective = Objective(
        loss_fn=make_class_loss(TRAIN.targets), constraint=Constraint(apply=clear)
    )
    settings = dataclasses.replace(SETTINGS, epochs=2)
    trained, _ = train_classifier(
        make_checkpoint(),
        TRAIN,
        dev=DEV,
        settings=settings,
        progress=Notes(),
        clock=ManualClock(),
        loss_fn=objective,
    )
    np.testing.assert_allclose(shares, np.arange(1, 25) / 24)
    weight = trained.model.weights()["pooler.weight"]
    assert (weight[:3] == 0.0).all()
    assert (weight[3:] != 0.0).all()
    assert trained.model.weights()["head.weight"].any()

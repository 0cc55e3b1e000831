"""Compression of a model of several labels: cut = masked, repaired and retrained = nearer."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch

from tests.support.small_forms import small_sets
from tests.support.toy_models import toy_architecture, toy_batch, toy_state
from thinfer.architecture import PruningMask
from thinfer.compress.calibrate import sample_rows
from thinfer.compress.distill import DistillSettings, distill
from thinfer.compress.layers import choose_layers
from thinfer.compress.rank import PruneSettings, build_ladders
from thinfer.compress.score.gradient import gate_gradients
from thinfer.compress.sensitivity import measure_sensitivity
from thinfer.compress.sparsify.fisher import measure_fisher
from thinfer.compress.state import State
from thinfer.compress.stitch import Stitcher
from thinfer.compress.surgery import cut
from thinfer.compress.walk import pack
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits, pad_inputs
from thinfer.nn.train import Encoded, TrainSettings
from thinfer.pipeline.data import label_corpus
from thinfer.pipeline.original import state_of
from thinfer.quality.answers import encode_answers, measure_micro_f1
from thinfer.quality.labels import LabelSet
from thinfer.text.batch import Batch
from thinfer.text.corpus import read_corpus


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@functools.cache
def trained() -> tuple[State, Encoded, Encoded]:
    """A trained state, 300 training rows and the dev rows."""
    task = small_sets()
    state = state_of(load_checkpoint(task.model))
    labels = LabelSet(state.labels, is_multi_label=True)
    parts = []
    for path, rows in ((task.train, 300), (task.dev, 160)):
        corpus = read_corpus(path, label_separator="|").select(range(rows))
        part = label_corpus(corpus, labels)
        parts.append(Encoded(batch=part.encode(state.tokenizer).batch, targets=part.truth))
    return state, parts[0], parts[1]


def score(state: State, rows: Encoded) -> float:
    logits = compute_logits(state.module(), rows.batch, pad_id=state.pad_id)
    return measure_micro_f1(encode_answers(logits, is_multi_label=True), rows.targets)


def distance(state: State, other: State, batch: Batch) -> float:
    """Sum of the labels' divergences, mean over texts."""
    p, q = (
        torch.from_numpy(compute_logits(each.module(), batch, pad_id=0)).double().sigmoid()
        for each in (state, other)
    )
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    return float(kl.sum(1).mean())


def test_the_model_has_learned_and_says_what_it_is() -> None:
    state, _, dev = trained()
    assert state.is_multi_label
    never = measure_micro_f1(np.zeros_like(dev.targets), dev.targets)
    always = measure_micro_f1(np.full_like(dev.targets, 63), dev.targets)
    assert score(state, dev) > max(never, always) + 0.4


@pytest.mark.parametrize("keep", [0, 1, 2, 4])
def test_masked_is_sliced(keep: int) -> None:
    state, train, _ = trained()
    shape = state.architecture
    mask = PruningMask(
        heads=tuple(np.arange(layer.heads) < keep for layer in shape.layers),
        neurons=tuple(np.arange(layer.ffn) < 24 * keep for layer in shape.layers),
        layers=(True, True),
    )
    small = cut(state, mask)
    assert small.is_multi_label
    inputs = pad_inputs(train.batch.select(np.arange(20)), state.pad_id)
    with torch.no_grad():
        gates = [
            [torch.from_numpy(each).float() for each in part] for part in (mask.heads, mask.neurons)
        ]
        masked = state.module()(*inputs, head_gates=gates[0], neuron_gates=gates[1])
        sliced = small.module()(*inputs)
    torch.testing.assert_close(sliced, masked, atol=1e-4, rtol=1e-4)


def test_a_repaired_cut_is_nearer_than_a_plain_one_and_stitching_foresees_it() -> None:
    state, train, _ = trained()
    settings = PruneSettings(max_tokens=4096, keep_moments=True)
    ladders = build_ladders(state, train.batch, rng=rng(), settings=settings)
    packed = pack(train.batch, sample_rows(train.batch, 4096, rng()))
    stitcher = Stitcher(state, ladders, packed)
    whole, half = [4, 96, 4, 96], [2, 48, 2, 48]
    assert stitcher.judge(whole) == pytest.approx(0.0, abs=1e-6)
    lost = stitcher.judge(half)
    assert 0.0 < stitcher.judge([3, 72, 3, 72]) < lost
    masks = [ladder.keep(width) for ladder, width in zip(ladders.blocks, half, strict=True)]
    mask = PruningMask(heads=tuple(masks[0::2]), neurons=tuple(masks[1::2]), layers=(True, True))
    module = stitcher.stitch(half)
    repaired = dataclasses.replace(
        state, weights=module.weights(), architecture=module.architecture
    )
    assert distance(state, repaired, train.batch) < distance(state, cut(state, mask), train.batch)


def test_distillation_brings_a_cut_back() -> None:
    state, train, dev = trained()
    mask = dataclasses.replace(
        PruningMask.keep_all(state.architecture),
        neurons=tuple(np.arange(layer.ffn) < 16 for layer in state.architecture.layers),
        heads=tuple(np.arange(layer.heads) < 2 for layer in state.architecture.layers),
    )
    small = cut(state, mask)
    settings = DistillSettings(
        train=TrainSettings(epochs=2, learning_rate=2e-3, precision="fp32", dropout=0.0)
    )
    better, report = distill(
        small,
        state,
        train,
        dev=dev,
        unlabelled=dev.batch.select(np.arange(40)),
        settings=settings,
        progress=SilentProgress(),
        clock=ManualClock(),
    )
    assert report.outcome == "applied", report.reason
    assert report.details["unlabelled_rows"] == 40
    assert better.is_multi_label
    assert distance(state, better, dev.batch) < distance(state, small, dev.batch)


def test_an_idle_layer_is_the_one_to_drop() -> None:
    state, train, _ = trained()
    weights = {name: array.copy() for name, array in state.weights.items()}
    for name in ("attention.output", "ffn.down"):
        weights[f"layers.1.{name}.weight"][:] = 0.0
        weights[f"layers.1.{name}.bias"][:] = 0.0
    idle = dataclasses.replace(state, weights=weights)
    assert choose_layers(idle, train.batch, 1, rng=rng(), max_tokens=1024) == (1,)


def test_gate_gradients_are_those_of_the_sets_likelihood() -> None:
    state = dataclasses.replace(toy_state(), is_multi_label=True)
    batch, codes = toy_batch(3), np.array([0, 5, 7], dtype=np.int64)
    found = list(gate_gradients(state.module(), batch, pad_id=0, labels=codes, is_multi_label=True))
    step = 1e-3
    for row in range(3):
        inputs = pad_inputs(batch.select([row]), 0)
        members = torch.tensor([[(int(codes[row]) >> at) & 1 for at in range(3)]]).double()
        losses = []
        for change in (step, -step):
            heads = [torch.ones(4), torch.ones(4)]
            heads[0][2] += change
            neurons = [torch.ones(32), torch.ones(32)]
            with torch.no_grad():
                logits = state.module()(*inputs, head_gates=heads, neuron_gates=neurons).double()
            chance = torch.where(members > 0, logits.sigmoid(), (-logits).sigmoid())
            losses.append(float(-chance.log().sum()))
        slope = (losses[0] - losses[1]) / (2 * step)
        assert found[row][0][0][2] == pytest.approx(slope, rel=0.02, abs=2e-3)


def test_own_answers_are_the_labels_of_a_set() -> None:
    state, batch = toy_state(), toy_batch(4)
    codes = encode_answers(compute_logits(state.module(), batch, pad_id=0), is_multi_label=True)
    own = gate_gradients(state.module(), batch, pad_id=0, is_multi_label=True)
    named = gate_gradients(state.module(), batch, pad_id=0, labels=codes, is_multi_label=True)
    for one, other in zip(own, named, strict=True):
        np.testing.assert_allclose(one[0][0], other[0][0])


def test_draws_of_labels_come_close_to_the_exact_fisher() -> None:
    """Labels are independent: the sum over labels of p (1 − p) g gᵀ, by plain autograd."""
    state = toy_state()
    one = toy_batch(1, longest=6)
    batch = one.select([0] * 3000)
    found = dict(
        measure_fisher(state.module(), batch, pad_id=0, size=4, rng=rng(), is_multi_label=True)
    )
    name, module = "layers.0.ffn.down.weight", state.module()
    logits = module(*pad_inputs(one, 0))[0] / 2.0
    wanted = torch.zeros(16 * 8, 4, 4)
    for logit in logits:
        (g,) = torch.autograd.grad(logit, module.get_parameter(name), retain_graph=True)
        chance = float(logit.detach().sigmoid())
        blocks = g.reshape(-1, 4)
        wanted += chance * (1 - chance) * torch.einsum("bi,bj->bij", blocks, blocks)
    assert float((found[name] - wanted).norm() / wanted.norm()) < 0.1


def test_margins_of_sets_are_distances_from_zero() -> None:
    """With one label the margin is |z|, as it is where a model has one output."""
    module = toy_state(toy_architecture(classes=1)).module()
    batch = toy_batch(20)
    packed = pack(batch, np.argsort(batch.lengths, kind="stable"))
    felt = [
        measure_sensitivity(
            module, packed, rng=rng(), progress=SilentProgress(), is_multi_label=several
        )
        for several in (False, True)
    ]
    np.testing.assert_allclose(felt[0].token_weights, felt[1].token_weights, rtol=1e-4)
    np.testing.assert_allclose(felt[0].metrics[0], felt[1].metrics[0], rtol=1e-4, atol=1e-8)

"""Small classifiers with random or planted weights, and batches of random token ids."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tests.support.bert_vocab import VOCABULARY, small_tokenizer
from thinfer.architecture import Architecture, LayerShape
from thinfer.compress.state import State
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

VOCAB = len(VOCABULARY)
MAX_LENGTH = 24


def toy_architecture(
    layers: Sequence[tuple[int, int]] = ((4, 32), (4, 32)),
    *,
    classes: int = 3,
    position_offset: int = 0,
) -> Architecture:
    """A shape with hidden 16; each layer is (heads of size 4, neurons)."""
    return Architecture(
        hidden=16,
        layers=tuple(
            LayerShape(heads=heads, qk_size=4, value_size=4, ffn=ffn) for heads, ffn in layers
        ),
        vocab=VOCAB,
        positions=MAX_LENGTH + position_offset,
        position_offset=position_offset,
        classes=classes,
    )


def wide_architecture(layers: int = 2) -> Architecture:
    """A shape with hidden 16 whose heads are large enough to be made smaller: 2 of size 16."""
    layer = LayerShape(heads=2, qk_size=16, value_size=16, ffn=32)
    return dataclasses.replace(toy_architecture(), layers=(layer,) * layers)


def toy_state(architecture: Architecture | None = None, *, seed: int = 0) -> State:
    """A state with random weights, large enough that every structure matters."""
    shape = architecture or toy_architecture()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = EncoderClassifier(shape)
        with torch.no_grad():
            for name, value in module.named_parameters():
                if ".norm." not in name:
                    value.normal_(std=0.4)
    return as_state(module)


def as_state(module: EncoderClassifier) -> State:
    """The state of a module over the small test vocabulary."""
    shape = module.architecture
    return State(
        weights=module.weights(),
        architecture=shape,
        tokenizer=small_tokenizer(max_length=MAX_LENGTH),
        labels=tuple(f"label {index}" for index in range(shape.classes)),
        max_length=MAX_LENGTH,
        pad_id=0,
    )


def toy_batch(texts: int, *, seed: int = 0, longest: int = MAX_LENGTH) -> Batch:
    """Random token ids in texts of 1 … `longest` tokens, with some second segments."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, size=texts)
    sequences = [rng.integers(1, VOCAB, size=length).tolist() for length in lengths]
    types = [(np.arange(length) > length // 2).astype(np.int64).tolist() for length in lengths]
    return Batch.from_sequences(sequences, types)


def logits_of(state: State, batch: Batch) -> torch.Tensor:
    """Logits in one padded forward pass."""
    inputs = [torch.from_numpy(part) for part in batch.padded(state.pad_id)]
    with torch.no_grad():
        result: torch.Tensor = state.module()(*inputs)
    return result


def toy_task(texts: int, *, seed: int) -> tuple[Batch, NDArray[np.int64]]:
    """Texts whose label, 0 … 2, is the remainder of division by 3 that most of their ids have."""
    rng = np.random.default_rng(seed)
    sequences, labels = [], []
    for _ in range(texts):
        wanted = int(rng.integers(3))
        ids = rng.integers(6, VOCAB - 3, size=int(rng.integers(4, 13)))
        moved = ids - ids % 3 + wanted
        ids = np.where(rng.random(len(ids)) < 0.3, moved, ids)
        labels.append(int(np.bincount(ids % 3, minlength=3).argmax()))
        sequences.append([2, *ids.tolist(), 3])
    return Batch.from_sequences(sequences), np.array(labels, dtype=np.int64)


@functools.cache
def trained_state() -> State:
    """A state that has learned `toy_task` in a few seconds, to 90 % and more."""
    batch, labels = toy_task(2000, seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = EncoderClassifier(toy_architecture(((4, 64), (4, 64))))
        with torch.no_grad():
            for value in module.parameters():
                if value.ndim == 2:
                    value.normal_(std=0.25)
        optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
        rng = np.random.default_rng(0)
        for _ in range(300):
            rows = rng.integers(0, len(labels), size=64)
            inputs = [torch.from_numpy(part) for part in batch.select(rows).padded(0)]
            loss = functional.cross_entropy(module(*inputs), torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return as_state(module.eval())


def accuracy_of(state: State, batch: Batch, labels: NDArray[np.int64]) -> float:
    """Share of texts answered right."""
    return float((logits_of(state, batch).argmax(1).numpy() == labels).mean())

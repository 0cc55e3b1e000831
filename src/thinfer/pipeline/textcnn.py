"""A convolutional classifier (TextCNN) that learns from the labels and from a bigger model.

Its price is a small share of a transformer's; where it holds the floor, the report says so.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thinfer.core.clock import Clock
from thinfer.nn.loss import log_scores, split_members
from thinfer.nn.predict import plan_batches
from thinfer.pipeline.data import LabelledSet
from thinfer.quality.answers import encode_answers
from thinfer.text.batch import Batch
from thinfer.text.tokenizer import Tokenizer

__all__ = ["Lessons", "TextCnn", "TextCnnResult", "fit_textcnn"]

Logits = NDArray[np.float32]

_WIDTHS = (2, 3, 4, 5)  # tokens that one filter sees
_FILTERS = 64  # of each width
_DIMENSIONS = 128
_DROPOUT = 0.5
_BATCH = 64
_RATE = 2e-3
_TEMPERATURE, _ALPHA = 2.0, 0.9
# All epochs together: about half a minute on two cores, whatever the text.
_MOST_TOKENS, _EPOCHS = 3_000_000, 6
_FEWEST_STEPS = 200  # few texts are read more often
_CHOOSING_ROWS = 2000  # of dev, spread over it, that choose the epoch
_ANSWER_TOKENS = 8192  # of one batch when it only answers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lessons:
    """What the network learns from.

    Attributes:
        batch: token ids of the texts.
        targets: int64 `[rows]`, the labels; the teacher's answers where there are none.
        taught: float32 `[rows, classes]`, the teacher's logits; rows of NaN where it was not asked.
        is_multi_label: targets are sets of labels as bits, and each label has a sigmoid.
    """

    batch: Batch
    targets: NDArray[np.int64]
    taught: Logits
    is_multi_label: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextCnnResult:
    """What the network answers.

    Attributes:
        dev: int64 `[dev rows]`, predicted answers.
        test: int64 `[test rows]`.
        texts_per_second: measured on `test`, tokenising included.
        size_bytes: its weights as float32.
        taught_rows: texts for which the teacher was asked.
        epochs: passes over the texts.
    """

    dev: NDArray[np.int64]
    test: NDArray[np.int64]
    texts_per_second: float
    size_bytes: int
    taught_rows: int
    epochs: int


class TextCnn(nn.Module):
    """Embedding, filters over neighbouring tokens, maximum over the text, linear layer.

    Kim 2014, "Convolutional Neural Networks for Sentence Classification", with one channel whose
    vectors are trained. Ids that no training text has share row 0, which stays zero like padding.

    Args:
        vectors: float32 `[vocab, dimensions]`, where the tokens' vectors start.
        seen: int64, ids of the training texts; others are treated as padding.
        classes: rows of the last layer.
    """

    def __init__(self, vectors: NDArray[np.float32], seen: NDArray[np.int64], classes: int) -> None:
        super().__init__()
        rows = np.zeros(len(vectors), dtype=np.int64)
        rows[seen] = np.arange(1, len(seen) + 1)
        self.register_buffer("rows", torch.from_numpy(rows))
        table = np.concatenate([np.zeros((1, vectors.shape[1]), np.float32), vectors[seen]])
        self.embedding = nn.Embedding(len(table), vectors.shape[1], padding_idx=0)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.from_numpy(table))
        size = vectors.shape[1]
        self.filters = nn.ModuleList(nn.Conv1d(size, _FILTERS, width) for width in _WIDTHS)
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Linear(_FILTERS * len(_WIDTHS), classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Give logits.

        Args:
            ids: int64 `[batch, length]`; padding has an id that is not among the seen ones.

        Returns:
            float32 `[batch, classes]`.
        """
        # One window of nothing but padding for every text: how long its batch is plays no part.
        rows = functional.pad(self.get_buffer("rows")[ids], (0, max(_WIDTHS)))
        vectors = self.embedding(rows).transpose(1, 2)  # [batch, dimensions, length]
        pooled = [each(vectors).amax(dim=2).relu() for each in self.filters]
        logits: Tensor = self.head(self.dropout(torch.cat(pooled, dim=1)))
        return logits


def fit_textcnn(
    lessons: Lessons,
    dev: LabelledSet,
    test: LabelledSet,
    *,
    tokenizer: Tokenizer,
    vectors: NDArray[np.float32],
    seed: int,
    clock: Clock,
) -> TextCnnResult:
    """Train a TextCNN and let it answer.

    Args:
        lessons: fits it.
        dev: chooses the epoch.
        test: is answered, on the clock.
        tokenizer: of the lessons' ids.
        vectors: float32 `[vocab, hidden]`, the teacher's word embedding; its principal
            components are where the vectors start.
        seed: of the first weights, the order of the texts and dropout.
        clock: times the answers.

    Returns:
        The answers, speed and size of the epoch that is best on `dev`.

    Note:
        Loss: `alpha · T² · KL(teacher ‖ student) + (1 − alpha) · cross entropy`, T = 2,
        alpha = 0.9 (Hinton et al. 2015); cross entropy alone where the teacher was not asked. With
        several labels a text, both are of the sigmoids, means over the labels.
    """
    rng = np.random.default_rng(seed)
    classes, several = lessons.taught.shape[1], lessons.is_multi_label
    vocab, vectors = len(vectors), np.concatenate([_reduce(vectors, _DIMENSIONS)] * 2)
    lessons = replace(lessons, batch=_tell_apart(lessons.batch, vocab))
    seen = np.setdiff1d(np.unique(lessons.batch.ids), [tokenizer.pad_id])
    known = _tell_apart(dev.encode(tokenizer).batch, vocab)
    some = np.unique(np.linspace(0, len(dev) - 1, min(_CHOOSING_ROWS, len(dev))).astype(np.int64))
    with torch.random.fork_rng(devices=[]):  # the one generator, given back as it was found
        torch.manual_seed(seed)
        model = TextCnn(vectors, seen, classes)
        epochs, rows = _plan(lessons.batch, rng)
        best, best_right = model.state_dict(), -1
        optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, fused=True)
        for epoch in range(epochs):
            _run_epoch(model, optimizer, lessons, rng.permutation(rows), (epoch, epochs), tokenizer)
            found = _answer(model, known.select(some), tokenizer.pad_id, several)
            if (right := int((found == dev.truth[some]).sum())) > best_right:
                best, best_right = copy.deepcopy(model.state_dict()), right
    model.load_state_dict(best)
    start = clock.monotonic()
    test_answers = _answer(
        model, _tell_apart(test.encode(tokenizer).batch, vocab), tokenizer.pad_id, several
    )
    seconds = max(clock.monotonic() - start, 1e-9)
    return TextCnnResult(
        dev=_answer(model, known, tokenizer.pad_id, several),
        test=test_answers,
        texts_per_second=len(test) / seconds,
        size_bytes=sum(value.numel() for value in model.parameters()) * 4,
        taught_rows=int(np.isfinite(lessons.taught).all(axis=1).sum()),
        epochs=epochs,
    )


def _tell_apart(batch: Batch, vocab: int) -> Batch:
    """Give the tokens of second texts ids of their own: which text says a word counts."""
    return replace(batch, ids=batch.ids + vocab * (batch.type_ids > 0))


def _plan(batch: Batch, rng: np.random.Generator) -> tuple[int, NDArray[np.int64]]:
    """Give the number of epochs and the rows of each, so that training has a known price."""
    tokens = max(1, len(batch.ids))
    wanted = max(_EPOCHS, -(-_FEWEST_STEPS * _BATCH // max(1, len(batch))))
    epochs = int(np.clip(_MOST_TOKENS // tokens, 1, wanted))
    count = min(len(batch), max(1, len(batch) * _MOST_TOKENS // tokens))
    return epochs, rng.permutation(len(batch))[:count].astype(np.int64)


@torch.enable_grad()  # a caller may have switched gradients off
def _run_epoch(
    model: TextCnn,
    optimizer: torch.optim.Optimizer,
    lessons: Lessons,
    order: NDArray[np.int64],
    part: tuple[int, int],
    tokenizer: Tokenizer,
) -> None:
    model.train()
    targets, taught = torch.from_numpy(lessons.targets), torch.from_numpy(lessons.taught)
    starts = range(0, len(order), _BATCH)
    for step, start in enumerate(starts):
        rate = _RATE * (1 - (part[0] + step / len(starts)) / part[1])  # linear decay
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = order[start : start + _BATCH]
        ids = torch.from_numpy(lessons.batch.select(rows).padded(tokenizer.pad_id)[0])
        loss = _compute_loss(model(ids), targets[rows], taught[rows], lessons.is_multi_label)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()


def _compute_loss(logits: Tensor, targets: Tensor, taught: Tensor, several: bool) -> Tensor:
    if several:
        members = split_members(targets, logits.shape[1])
        each = functional.binary_cross_entropy_with_logits(logits, members, reduction="none")
        labels = each.mean(dim=1)
    else:
        labels = functional.cross_entropy(logits, targets, reduction="none")
    asked = taught.isfinite().all(dim=1)
    soft = log_scores(taught.nan_to_num() / _TEMPERATURE, is_multi_label=several)
    own = log_scores(logits / _TEMPERATURE, is_multi_label=several)
    distance = functional.kl_div(own, soft, reduction="none", log_target=True).sum(dim=1)
    distance = distance / (logits.shape[1] if several else 1)
    both = _ALPHA * _TEMPERATURE**2 * distance + (1 - _ALPHA) * labels
    return torch.where(asked, both, labels).mean()


def _answer(model: TextCnn, batch: Batch, pad_id: int, several: bool) -> NDArray[np.int64]:
    model.eval()
    found = np.zeros(len(batch), dtype=np.int64)
    with torch.inference_mode():
        for rows in plan_batches(batch.lengths, _ANSWER_TOKENS):
            ids = torch.from_numpy(batch.select(rows).padded(pad_id)[0])
            found[rows] = encode_answers(model(ids).numpy(), is_multi_label=several)
    return found


def _reduce(vectors: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Give the principal components of word vectors, scaled to a standard deviation of 0.1."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    reduced = centred @ axes[:, -size:]
    spread = float(reduced.std()) or 1.0
    return np.asarray(reduced * (0.1 / spread), dtype=np.float32)

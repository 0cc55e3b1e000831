"""`Classifier` = tokenizer + engine + labels: text in, predictions out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle import Bundle, open_bundle
from thinfer.engine import Engine, check_golden, open_engine
from thinfer.errors import EngineError, ThinferError, UserError, at
from thinfer.quality.operating import to_scores
from thinfer.text.batch import Batch
from thinfer.text.long_text import LongText, Policy, pool_windows
from thinfer.text.tokenizer import Encoding, Tokenizer

__all__ = ["Classifier", "Prediction"]

Logits = NDArray[np.float32]
Function = Literal["softmax", "sigmoid", "none"]

BATCH_ROWS = 32
BATCH_TOKENS = 16_384  # padding included; bounds the memory of one call
_NOT_GIVEN: Any = object()  # tells `top_k=1` from no `top_k`, as the pipeline of transformers does


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer for one text.

    Attributes:
        label: the answer; of several labels the one that leads (`Decider.lead`).
        score: its score, 0 … 1.
        scores: score of every label, in the order of the logits.
        truncated: True where the text was cut to the longest length of the bundle.
        tokens: tokens that were run, specials included, and those that windows share counted twice.
        tokens_total: tokens of the whole text, specials included.
        windows: windows that the text was read in; 1 where it fits, or was cut.
        labels: all labels of the answer, in the order of the logits: one, or for multi-label
            bundles those that reach their threshold.
    """

    label: str
    score: float
    scores: Mapping[str, float]
    truncated: bool
    tokens: int
    tokens_total: int
    windows: int = 1
    labels: tuple[str, ...] = ()


class Classifier:
    """Classify texts with a bundle; open one with `Classifier.open`.

    Args:
        bundle: an opened bundle.
        engine: an engine of that bundle.
        tokenizer: the bundle's tokenizer.
    """

    def __init__(self, bundle: Bundle, engine: Engine, *, tokenizer: Tokenizer) -> None:
        self.bundle = bundle
        self.engine = engine
        self.tokenizer = tokenizer
        self.decider = bundle.manifest.decider()
        self._function: Function = "sigmoid" if self.decider.is_sigmoid else "softmax"

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        *,
        engine: str | None = None,
        threads: int | None = None,
        verify: bool = True,
    ) -> Classifier:
        """Open a bundle with an engine, and run the golden set through it.

        Args:
            bundle: path of a bundle, or an opened one.
            engine: an engine that the bundle lists; the chosen one when absent.
            threads: threads of one call; the usable cores when absent.
            verify: False skips the digests of the files; the golden set is always run.

        Returns:
            A classifier whose answers on the golden set are those of the reference.

        Raises:
            ThinferError: DataError of a damaged bundle, EngineError of an engine that is missing
                or gives other labels or logits than the reference.
        """
        opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle, verify=verify)
        with at(bundle=opened.path):
            tokenizer = Tokenizer.from_json(
                opened.tokenizer_text(), max_length=opened.manifest.max_length
            )
            runner = open_engine(opened, engine, threads)
            try:
                check_golden(opened, runner)
            except ThinferError:
                runner.close()
                raise
        return cls(opened, runner, tokenizer=tokenizer)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each class, in the order of the logits."""
        return self.bundle.manifest.labels

    @property
    def long_text(self) -> LongText:
        """What becomes of a text that is too long where nobody says otherwise."""
        return LongText(policy=self.bundle.manifest.truncation)

    @property
    def is_multi_label(self) -> bool:
        """Whether each label has a probability of its own (sigmoid, not softmax)."""
        return self._function == "sigmoid"

    @property
    def version(self) -> str:
        """The first 12 digits of the bundle's content digest."""
        return self.bundle.version

    def __call__(
        self,
        inputs: str | Mapping[str, str] | Sequence[str | Mapping[str, str]],
        *,
        top_k: int | None = _NOT_GIVEN,
        function_to_apply: Function | None = None,
    ) -> Any:  # noqa: ANN401 - the shape follows the input, as in transformers
        """Give what `transformers.pipeline("text-classification")` gives.

        Args:
            inputs: a text, `{"text", "text_pair"}`, or a list of these.
            top_k: so many labels, best first; None for all of them.
            function_to_apply: another function from logits to scores than the model's own.

        Returns:
            `{"label", "score"}` for each input, or a list of these where `top_k` is given. A
            single text without `top_k` gives a list of one.
        """
        is_single = isinstance(inputs, str | Mapping)
        items = [inputs] if isinstance(inputs, str | Mapping) else list(inputs)
        logits = self._logits_of_items([_split_item(item) for item in items])
        if function_to_apply in (None, self._function):
            scores = self._scores(logits)
        else:
            scores = _to_scores(logits, function_to_apply or self._function)
        if top_k is _NOT_GIVEN:
            best = [self._rank(row)[0] for row in scores]
            return best if isinstance(inputs, str) or not is_single else best[0]
        ranked = [self._rank(row)[:top_k] for row in scores]
        return ranked[0] if is_single else ranked

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        long_text: Policy | LongText | None = None,
    ) -> list[Prediction]:
        """Classify texts; an empty text is answered, a long one is cut and says so.

        Args:
            texts: any number of texts.
            pairs: the second text of each, for models of text pairs.
            long_text: what becomes of a text that is too long; the bundle's own rule when absent.

        Returns:
            One prediction a text, in their order.
        """
        rule = self.long_text
        if long_text is not None:
            rule = long_text if isinstance(long_text, LongText) else LongText(policy=long_text)
        return self.predict_encoded(self.tokenizer.encode(texts, pairs, long_text=rule))

    def predict_encoded(self, encoding: Encoding) -> list[Prediction]:
        """Classify texts that `tokenizer.encode` has encoded.

        Args:
            encoding: ids, and which texts were cut.

        Returns:
            One prediction a text, in their order.
        """
        logits = self.pool(self.run_batch(encoding.batch), encoding)
        return self.to_predictions(logits, encoding)

    def pool(self, logits: Logits, encoding: Encoding) -> Logits:
        """Bring the windows of each text together.

        Where nobody says how, `max` for bundles with a normal label (one bad paragraph is enough),
        else `mean`.

        Args:
            logits: float32 `[sequences, classes]`, of the encoding's batch.
            encoding: which sequences belong to one text.

        Returns:
            float32 `[texts, classes]`.
        """
        if len(logits) == len(encoding.windows):
            return logits
        name = self.bundle.manifest.normal_label
        normal = None if name is None else self.labels.index(name)
        return pool_windows(
            logits,
            self._scores(logits),
            windows=encoding.windows,
            pooling=encoding.long_text.pooling or ("mean" if normal is None else "max"),
            normal=normal,
            is_multi_label=self.is_multi_label,
        )

    def to_predictions(self, logits: Logits, encoding: Encoding) -> list[Prediction]:
        """Turn logits into predictions.

        Args:
            logits: float32 `[texts, classes]`.
            encoding: of the texts.

        Returns:
            One prediction a row.
        """
        scores = self._scores(logits)
        best = self.decider.lead(scores)
        held = self._held_labels(scores, best)
        return [
            Prediction(
                label=self.labels[label],
                score=row[label],
                scores=dict(zip(self.labels, row, strict=True)),
                truncated=cut,
                tokens=tokens,
                tokens_total=total,
                windows=windows,
                labels=labels,
            )
            for row, label, labels, cut, tokens, total, windows in zip(
                scores.tolist(),
                best.tolist(),
                held,
                encoding.truncated.tolist(),
                encoding.tokens.tolist(),
                encoding.totals.tolist(),
                encoding.windows.tolist(),
                strict=True,
            )
        ]

    def name_answers(self, logits: Logits) -> list[tuple[str, ...]]:
        """Give the labels of answers: one each, or for multi-label bundles any number.

        Args:
            logits: float32 `[texts, classes]`.
        """
        scores = self._scores(logits)
        return self._held_labels(scores, self.decider.lead(scores))

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Logits:
        """Compute the logits of texts.

        Args:
            texts: any number of texts.
            pairs: the second text of each.

        Returns:
            float32 `[sequences, classes]`.
        """
        return self.run_batch(self.tokenizer.encode(texts, pairs).batch)

    def run_batch(self, batch: Batch) -> Logits:
        """Run sequences through the engine, in calls of bounded size and alike in length.

        Args:
            batch: any number of sequences.

        Returns:
            float32 `[sequences, classes]`, rows in the order of the batch.
        """
        logits = np.empty((len(batch), len(self.labels)), dtype=np.float32)
        is_one_call = len(batch) <= BATCH_ROWS
        order = np.arange(len(batch)) if is_one_call else np.argsort(-batch.lengths, kind="stable")
        for part in _slices(batch.lengths[order]):
            rows = order[part]
            logits[rows] = self.engine.run(batch.select(rows))
        return logits

    def close(self) -> None:
        """Free the engine; calling it twice is harmless."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _logits_of_items(self, items: list[tuple[str, str | None]]) -> Logits:
        """Logits of texts of which some have a pair, float32 `[items, classes]`."""
        logits = np.empty((len(items), len(self.labels)), dtype=np.float32)
        alone = [row for row, (_, pair) in enumerate(items) if pair is None]
        paired = [row for row, (_, pair) in enumerate(items) if pair is not None]
        logits[alone] = self.logits([items[row][0] for row in alone])
        logits[paired] = self.logits(
            [items[row][0] for row in paired], [items[row][1] or "" for row in paired]
        )
        return logits

    def _scores(self, logits: Logits) -> Logits:
        """The bundle's own scores, float32 `[sequences, classes]`, calibrated."""
        return _to_scores(self.decider.adjust(logits), self._function)

    def _held_labels(self, scores: Logits, best: NDArray[np.int64]) -> list[tuple[str, ...]]:
        """Names of all labels of each answer."""
        if not self.is_multi_label:
            return [(self.labels[label],) for label in best.tolist()]
        return [tuple(compress(self.labels, row)) for row in self.decider.reached(scores).tolist()]

    def _rank(self, scores: Logits) -> list[dict[str, Any]]:
        answers = [
            {"label": label, "score": score}
            for label, score in zip(self.labels, scores.tolist(), strict=True)
        ]
        return sorted(answers, key=lambda answer: -answer["score"])


def _split_item(item: object) -> tuple[str, str | None]:
    """A text and its pair; a mapping has `text` and perhaps `text_pair`."""
    if isinstance(item, str):
        return item, None
    if isinstance(item, Mapping) and set(item) <= {"text", "text_pair"}:
        text, pair = item.get("text"), item.get("text_pair")
        if isinstance(text, str) and (pair is None or isinstance(pair, str)):
            return text, pair or None  # the pipeline takes an empty pair for none
    what = "an input cannot be classified"
    expected = 'a text, or {"text": …, "text_pair": …}'
    raise UserError(what, expected=expected, got=repr(item)[:80])


def _to_scores(logits: Logits, function: Function) -> Logits:
    """Scores float32 `[sequences, classes]`, by the formulas of the transformers pipeline."""
    if not np.isfinite(logits).all():
        bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        what = "the engine gave no finite logits"
        raise EngineError(what, got=f"row {bad[0]}: {logits[bad[0]].tolist()}")
    if function == "none":
        return logits
    return to_scores(logits, is_sigmoid=function == "sigmoid")


def _slices(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Consecutive rows of one call: at most 32, and a bounded padded size."""
    start = 0
    while start < len(lengths):
        stop, longest = start + 1, int(lengths[start])
        while stop < len(lengths) and stop - start < BATCH_ROWS:
            longest = max(longest, int(lengths[stop]))
            if (stop - start + 1) * longest > BATCH_TOKENS:
                break
            stop += 1
        yield np.arange(start, stop, dtype=np.int64)
        start = stop

"""A generated corpus for content moderation: Chinese and English, seven labels, not too easy.

Kinds overlap in words and in ways to be reached, offences are quoted in harmless talk, words
are disguised, and a part of the labels is wrong on purpose; so no model scores 100 %.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np

from thinfer.core.files import write_atomic
from thinfer.errors import UserError
from thinfer.text.corpus import Corpus
from thinfer.text.moderation_lexicon import (
    CONTEXTS,
    DECOYS,
    FRAMES,
    KINDS,
    NORMAL,
    SHARED,
    SLOTS,
    VAGUE,
)
from thinfer.text.splits import normal_form

__all__ = ["ANOMALIES", "LABELS", "Writer", "generate_moderation", "write_moderation"]

LABELS = tuple(KINDS)
NORMAL_SHARE = 0.55
NOISE_SHARE = 0.045
ANOMALIES = tuple(kind for kind in LABELS if kind != NORMAL)
_LONGEST = 120  # characters
_SLOT = re.compile(r"\{(\w+)\}")
_SYMBOLS = "*.·_- ~/"
_FULL_WIDTH = {ord("0") + digit: chr(0xFF10 + digit) for digit in range(10)}
_LOOKALIKE = str.maketrans("微信加钱免费证假oaei", "薇芯茄纟免沸正贾0@31")
_ENDS = {
    "zh": ("", "", "。", "！", "～", "[笑]", "😀", "👍", "…"),
    "en": ("", "", ".", "!", " 😀", "..."),
}
_REACHABLE = ("spam", "fraud", "adult", "contraband")


def generate_moderation(rng: np.random.Generator, *, rows: int) -> Corpus:
    """Give texts with labels; no two are alike after normalisation.

    Args:
        rng: decides everything; the same state gives the same corpus.
        rows: how many.

    Returns:
        Texts of 5 to 120 characters, about 55 % of them `normal`.

    Raises:
        UserError: `rows` is negative.
    """
    if rows < 0:
        what = "a corpus cannot have a negative number of rows"
        raise UserError(what, expected="0 or more", got=str(rows))
    writer, seen = Writer(rng), set()
    texts: list[str] = []
    labels: list[str] = []
    while len(texts) < rows:
        label = NORMAL if rng.random() < NORMAL_SHARE else writer.pick(ANOMALIES)
        text = writer.write(label)
        key = normal_form(text)
        if len(text) < 5 or key in seen:
            continue
        seen.add(key)
        texts.append(text)
        labels.append(writer.pick(LABELS) if rng.random() < NOISE_SHARE else label)
    return Corpus(texts=tuple(texts), labels=tuple(labels), name="moderation")


def write_moderation(folder: Path, *, seed: int, train: int, dev: int, test: int) -> None:
    """Write `train.csv`, `dev.csv` and `test.csv` that share no text.

    Args:
        folder: made if absent.
        seed: the same seed and sizes give the same files.
        train: rows for training.
        dev: rows for choosing.
        test: rows for judging.

    Raises:
        InternalError: the folder cannot be written.
    """
    corpus = generate_moderation(np.random.default_rng(seed), rows=train + dev + test)
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for name, size in {"train": train, "dev": dev, "test": test}.items():
        part = corpus.select(range(start, start + size))
        stream = io.StringIO(newline="")
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("text", "label"))
        table.writerows(zip(part.texts, part.labels or (), strict=True))
        write_atomic(folder / f"{name}.csv", stream.getvalue())
        start += size


class Writer:
    """Writes one text after another with one generator.

    Args:
        rng: decides everything.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def pick(self, choices: tuple[str, ...]) -> str:
        """Give one of some strings, each as likely.

        Args:
            choices: at least one.
        """
        return choices[int(self._rng.integers(len(choices)))]

    def write(self, label: str) -> str:
        """Give a text of a kind, at most 120 characters.

        Args:
            label: one of `LABELS`.
        """
        language = "zh" if self._chance(0.7) else "en"
        core = self._core(label, language)
        parts = [self._fill(self.pick(CONTEXTS[language]))] if self._chance(0.45) else []
        parts.append(core)
        comma = "，" if language == "zh" else ", "
        if self._chance(0.3):
            aside = "zh" if self._chance(0.7) else "en"
            parts.append(comma + self._fill(self.pick(KINDS[NORMAL][aside])))
        if self._chance(0.5 if label in _REACHABLE else 0.2):
            parts.append(comma + self._fill(self.pick(SHARED[language])))
        return ("".join(parts) + self.pick(_ENDS[language]))[:_LONGEST].strip()

    def write_plainly(self, label: str) -> str:
        """Give a short text of a kind: its own sentence, in no setting and with no aside.

        Args:
            label: one of `LABELS`.
        """
        language = "zh" if self._chance(0.7) else "en"
        offence = self._fill(self.pick(KINDS[label][language]))
        return (offence + self.pick(_ENDS[language]))[:_LONGEST].strip()

    def _core(self, label: str, language: str) -> str:
        if self._chance({NORMAL: 0.02}.get(label, 0.09 if label in _REACHABLE else 0.0)):
            return self._fill(self.pick(VAGUE[language]))
        if label == NORMAL and self._chance(0.3):
            quoted = self._offence(self.pick(ANOMALIES), language)
            return self._fill(self.pick(FRAMES[language])).replace("{x}", quoted)
        if label == NORMAL:
            return self._fill(self.pick(KINDS[NORMAL][language]))
        decoy = self._fill(self.pick(DECOYS[language])) if self._chance(0.4) else ""
        return decoy + self._offence(label, language)

    def _offence(self, label: str, language: str) -> str:
        text = self._fill(self.pick(KINDS[label][language]))
        return self._disguise(text) if self._chance(0.3) else text

    def _fill(self, pattern: str) -> str:
        return _SLOT.sub(lambda match: self._slot(match.group(1)), pattern)

    def _slot(self, name: str) -> str:
        if name in SLOTS:
            return self.pick(SLOTS[name])
        if name == "num":
            return str(int(self._rng.integers(1, 100)) * int(10 ** self._rng.integers(0, 4)))
        if name in _NUMBERS:
            digits = "".join(str(digit) for digit in self._rng.integers(0, 10, _NUMBERS[name]))
            return f"1{digits}"
        letters = "".join(chr(97 + int(i)) for i in self._rng.integers(0, 26, 5))
        if name == "id":
            return f"{letters}{int(self._rng.integers(10, 1000))}"
        return f"www.{letters}.example" if name == "url" else "{" + name + "}"

    def _disguise(self, text: str) -> str:
        way = int(self._rng.integers(4))
        if way == 0:
            return text.translate(_FULL_WIDTH).translate(_LOOKALIKE)
        if way == 1:
            return text.translate(_LOOKALIKE)
        if way == 2:
            upper = self._rng.random(len(text)) < 0.5
            return "".join(c.upper() if up else c for c, up in zip(text, upper, strict=True))
        symbol = self.pick(tuple(_SYMBOLS))
        at = int(self._rng.integers(max(1, len(text) - 6)))
        return text[:at] + symbol.join(text[at : at + 6]) + text[at + 6 :]

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)


_NUMBERS = {"phone": 10, "group": 8, "idcard": 17, "card": 15}

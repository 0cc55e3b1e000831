"""What `compress` is asked to do: one frozen object, checked before any work begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, Literal

from thinfer.errors import UserError
from thinfer.pipeline.recipe import Recipe

__all__ = ["WIDTHS", "CompressRequest", "DataRequest", "parse_speedups", "parse_widths"]

# Tried where the user names none, widest first.
WIDTHS = tuple(map(Fraction, ("3/4", "1/2", "3/8", "1/4", "1/6")))
RETRAIN = ("none", "short", "full", "adaptive")
PRECISIONS = ("auto", "fp32", "bf16", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """Where the labelled text is and how it is laid out.

    Attributes:
        train: text for calibration, coverage and retraining.
        dev: chooses among the candidates.
        test: judges the chosen one.
        text_column: name of the text column; `text` when absent.
        label_column: name of the label column; `label` when absent.
        label_separator: between the labels of a cell, for a multi-label model; `|` when absent.
        normal_label: the label that is no finding, if there is one.
        unlabelled: more text that the vocabulary covers and retraining learns from, if any.
        slices: columns of `dev` and `test` by whose values the report lists quality.
    """

    train: Path
    dev: Path
    test: Path
    text_column: str | None = None
    label_column: str | None = None
    label_separator: str | None = None
    normal_label: str | None = None
    unlabelled: Path | None = None
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressRequest:
    """One run of `compress`.

    Attributes:
        model: a checkpoint directory or a hub name.
        data: the labelled text.
        out: the bundle's folder; resume state lives in `out` + `.work`.
        floors: floor expressions; none = the default floors of the labels.
        thresholds: `LABEL=SCORE` each: from which score the original answers a label.
        priority: labels with a threshold, separated by commas, the first that is reached wins.
        widths: encoder cost that shall stay, each in 0 … 1; empty = found by trying.
        speedups: throughput to the dense form's in the same engine, each over 1.
        recipe: steps of one further state; with it alone, no widths are found by trying.
        latency_table: prices of widths: read where the file exists, else written to it.
        reduce_ranks: heads may also get fewer dimensions where the prices say that it pays.
        retrain: `none`; `short`: distillation after pruning; `full`: pruned in two cuts, distilled
            after each, for longer; `adaptive`: all widths trained together in one set of weights.
        augment: copies of each training text, with tokens replaced, that retraining learns from.
        precisions: precisions to try; `auto` = all that this machine has.
        engines: engines to try; `auto` = all that are installed.
        threads: threads of one call; None = the usable cores.
        seed: of every draw.
        minutes: the whole run shall take; unless widths or speed-ups are named, they are spent on
            a search over depth, width, token rows and text length. None = no limit.
        require_proof: a verdict `unproven` counts as a failure.
        resume: continue what an interrupted run left.
        judgement_log: where judgements are remembered between runs; None = nowhere.
        include_text: rows in the result that are answered differently carry the beginning of
            their text.
        command: the command line, for the report.
    """

    KIND: ClassVar[str] = "thinfer.compress-request"
    VERSION: ClassVar[int] = 1

    model: str
    data: DataRequest
    out: Path
    floors: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()
    priority: str | None = None
    widths: tuple[Fraction, ...] = ()
    speedups: tuple[float, ...] = ()
    recipe: Recipe | None = None
    latency_table: Path | None = None
    reduce_ranks: bool = False
    retrain: Literal["none", "short", "full", "adaptive"] = "none"
    augment: int = 0
    precisions: tuple[str, ...] = ("auto",)
    engines: tuple[str, ...] = ("auto",)
    threads: int | None = None
    seed: int = 0
    minutes: float | None = None
    require_proof: bool = False
    resume: bool = False
    judgement_log: Path | None = None
    include_text: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if self.retrain not in RETRAIN:
            what = "the retraining is not known"
            raise UserError(what, expected=f"one of {list(RETRAIN)}", got=self.retrain)
        if self.retrain == "adaptive" and self.speedups:
            what = "--retrain adaptive trains widths, and a speed-up's width is not known before"
            raise UserError(what, do="give --widths, or --retrain short with --speedups")
        if self.augment < 0 or (self.augment and self.retrain == "none"):
            what = "augmented text is for retraining"
            expected = "--augment of 0 or more, with --retrain short, full or adaptive"
            raise UserError(what, expected=expected, got=f"{self.augment}, {self.retrain}")
        unknown = sorted(set(self.precisions) - set(PRECISIONS))
        if unknown:
            what = "a precision is not known"
            raise UserError(what, expected=f"some of {list(PRECISIONS)}", got=str(unknown))
        if self.threads is not None and self.threads < 1:
            what = "the number of threads is impossible"
            raise UserError(what, expected="--threads of 1 or more", got=str(self.threads))
        if self.minutes is not None and self.minutes <= 0:
            what = "the time limit is impossible"
            raise UserError(what, expected="--minutes over 0", got=str(self.minutes))

    @property
    def work(self) -> Path:
        """The folder of resume state, candidates and lock."""
        return self.out.with_name(f"{self.out.name}.work")


def parse_widths(text: str) -> tuple[Fraction, ...]:
    """Read `3/4,2/3,0.5`.

    Args:
        text: fractions or decimals, separated by commas.

    Returns:
        The widths, largest first, each once.

    Raises:
        UserError: a part is not a number between 0 and 1.
    """
    widths = set()
    for part in text.split(","):
        try:
            width = Fraction(part.strip())
        except (ValueError, ZeroDivisionError):
            width = Fraction(0)
        if not 0 < width < 1:
            what = "a width cannot be read"
            raise UserError(what, expected="numbers like 3/4 or 0.5, between 0 and 1", got=part)
        widths.add(width)
    return tuple(sorted(widths, reverse=True))


def parse_speedups(text: str) -> tuple[float, ...]:
    """Read `1.5,2,4`.

    Args:
        text: numbers, separated by commas.

    Returns:
        The speed-ups, smallest first, each once.

    Raises:
        UserError: a part is not a number over 1.
    """
    speedups = set()
    for part in text.split(","):
        try:
            speedup = float(part)
        except ValueError:
            speedup = 0.0
        if not 1.0 < speedup < math.inf:
            what = "a speed-up cannot be read"
            raise UserError(what, expected="numbers like 1.5 or 4, over 1", got=part)
        speedups.add(speedup)
    return tuple(sorted(speedups))

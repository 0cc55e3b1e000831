"""`AuditRequest`: what the user asked an audit for, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thinfer.errors import UserError

__all__ = ["AuditRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """What the user asked for.

    Attributes:
        out: the folder of the audit; texts are written nowhere else.
        original: a bundle, a checkpoint directory or a hub name; needed until there are labels.
        bundle: what answers in its place; likewise.
        traffic: a data file without labels; likewise.
        labels: the labelled file, to be judged; absent: answer, bound, and write what to label.
        floors: expressions; the defaults where there are none.
        normal_label: the label that is no finding; a model's own when absent.
        text_column: of the traffic and of `test`.
        label_column: of `test`.
        engine: of the bundle; its chosen one when absent.
        threads: of one engine call.
        sample: agreed rows to label for each floor, at most.
        most: rows that can change a retention to label, at most.
        seed: draws samples and order.
        precision: a lower bound of the original's precision on flagged rows.
        test: a labelled file to measure the original's precision on.
        resume: whether to go on with the audit in the folder.
    """

    out: Path
    original: str | None = None
    bundle: Path | None = None
    traffic: Path | None = None
    labels: Path | None = None
    floors: tuple[str, ...] = ()
    normal_label: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    engine: str | None = None
    threads: int | None = None
    sample: int = 200
    most: int | None = None
    seed: int = 0
    precision: float | None = None
    test: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        given = [part is not None for part in (self.original, self.bundle, self.traffic)]
        if not all(given) and (any(given) or self.labels is None):
            what = "an audit needs two models and traffic"
            raise UserError(what, expected="ORIGINAL BUNDLE --traffic F, or --labels F alone")
        if self.precision is not None and not 0 < self.precision <= 1:
            what = "--known-precision is no share"
            raise UserError(what, expected="above 0, at most 1", got=str(self.precision))
        if self.precision is not None and self.test is not None:
            what = "both --known-precision and --test are given"
            raise UserError(what, do="give the bound, or the file to measure it on")
        if self.sample < 0 or (self.most is not None and self.most < 1):
            what = "--sample or --most makes no sense"
            raise UserError(what, expected="--sample of 0 or more, --most of 1 or more")

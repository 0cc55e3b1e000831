"""`demo`: the main job on a generated corpus, from nothing to an answer over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from thinfer.core.clock import Clock
from thinfer.core.progress import Progress
from thinfer.nn.schedule import TrainSettings
from thinfer.pipeline.ask import ask_service
from thinfer.pipeline.fit import FitRequest, fit
from thinfer.pipeline.publish import Compression
from thinfer.pipeline.request import CompressRequest, DataRequest
from thinfer.pipeline.run import compress
from thinfer.text.moderation import write_moderation

__all__ = ["Demo", "DemoRequest", "run_demo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRequest:
    """One run of `demo`; the defaults end within five minutes on two cores.

    Attributes:
        out: folder of everything: `data`, `teacher`, `bundle`.
        serve: the words that start the service; the bundle and a port follow.
        seed: of the corpus, the training and the compression.
        rows: of train, dev and test.
        model: the size that is trained.
        settings: of the training.
        learning_rate: its peak.
        floors: what must hold.
        widths: encoder cost that shall stay.
        question: the text that the service is asked about.
    """

    out: Path
    serve: Sequence[str]
    seed: int = 0
    rows: tuple[int, int, int] = (6000, 1500, 4000)
    model: str = "ernie-3.0-nano"
    settings: TrainSettings = field(
        # Small batches: from nothing, so few rows want many steps.
        default_factory=lambda: TrainSettings(epochs=4, batch_size=16, max_minutes=2.0)
    )
    learning_rate: float = 3e-4
    floors: tuple[str, ...] = ("flagged_recall>=99%", "accuracy>=99%")
    widths: tuple[Fraction, ...] = (Fraction(2, 3),)
    question: str = "加我领取免费金币，先到先得"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo ends with.

    Attributes:
        compression: bundle, verdict and the whole result.
        question: the text.
        answer: what the service said, as it came.
    """

    compression: Compression
    question: str
    answer: Mapping[str, Any]


def run_demo(request: DemoRequest, *, progress: Progress, clock: Clock) -> Demo:
    """Generate a corpus, train a teacher, compress it, serve it, ask it one question.

    Args:
        request: where, and how much.
        progress: told of the work.
        clock: times it.

    Returns:
        The result and the answer.
    """
    data = _write_data(request, progress)
    progress.note("2/4  training a teacher from nothing")
    teacher = request.out / "teacher"
    fit(
        FitRequest(
            model=request.model,
            train=data.train,
            dev=data.dev,
            out=teacher,
            settings=request.settings,
            learning_rate=request.learning_rate,
            max_length=64,
            vocabulary=6000,
        ),
        progress=progress,
        clock=clock,
    )
    progress.note(f"3/4  compressing it under {' and '.join(request.floors)}")
    bundle = request.out / "bundle"
    asked = CompressRequest(
        model=str(teacher),
        data=data,
        out=bundle,
        floors=request.floors,
        widths=request.widths,
        seed=request.seed,
        command=_command(data, teacher, request),
    )
    compression = compress(asked, progress=progress, clock=clock)
    progress.note("4/4  asking the service one question")
    answer = ask_service(
        [*request.serve, str(bundle)],
        request.question,
        log=request.out / "service.log",
        clock=clock,
    )
    return Demo(compression=compression, question=request.question, answer=answer)


def _write_data(request: DemoRequest, progress: Progress) -> DataRequest:
    progress.note("1/4  generating a moderation corpus")
    folder = request.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    train, dev, test = request.rows
    write_moderation(folder, seed=request.seed, train=train, dev=dev, test=test)
    return DataRequest(
        train=folder / "train.csv",
        dev=folder / "dev.csv",
        test=folder / "test.csv",
        normal_label="normal",
    )


def _command(data: DataRequest, teacher: Path, request: DemoRequest) -> str:
    """Give the command that does the same compression by hand, for the report."""
    floors = " ".join(f"--floor '{floor}'" for floor in request.floors)
    widths = ",".join(str(width) for width in request.widths)
    return (
        f"thinfer compress {teacher} --train {data.train} --dev {data.dev} --test {data.test} "
        f"--normal-label {data.normal_label} {floors}"
        f"{f' --widths {widths}' if widths else ''} --seed {request.seed} "
        f"--out {request.out / 'bundle'}"
    )

"""A run of `compress` on the small task, prepared as far as its stages need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.small_task import small_task
from thinfer.core.clock import ManualClock
from thinfer.core.files import lock_folder
from thinfer.core.progress import SilentProgress
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.data import load_sets
from thinfer.pipeline.job import Job
from thinfer.pipeline.original import state_of
from thinfer.pipeline.request import CompressRequest, DataRequest
from thinfer.pipeline.workspace import Workspace
from thinfer.quality.floor import parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import OperatingPoint


class TickingClock(ManualClock):
    """Every look at it takes a second."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


def small_job(folder: Path, *, floor: str = "accuracy>=90%", **options: Any) -> Job:  # noqa: ANN401 - fields of the request
    task = small_task()
    request = CompressRequest(
        model=str(task.model),
        data=DataRequest(train=task.train, dev=task.dev, test=task.test),
        out=folder / "out",
        floors=(floor,),
        minutes=1.0,
        **options,
    )
    checkpoint = load_checkpoint(request.model)
    labels = LabelSet(checkpoint.labels)
    sets = load_sets(request.data, labels)
    state = state_of(checkpoint)
    batch = sets.dev.encode(state.tokenizer).batch
    logits = compute_logits(state.module(), batch, pad_id=state.pad_id)
    with lock_folder(request.work):
        workspace = Workspace(request)
    return Job(
        request=request,
        workspace=workspace,
        original=state,
        labels=labels,
        problem_type="single_label_classification",
        floors=(parse_floor(floor, labels),),
        sets=sets,
        point=OperatingPoint(),
        original_logits=logits,
        original_dev=logits.argmax(axis=1),
        threads=1,
        engines=("onnxruntime",),
        precisions=("fp32",),
        progress=SilentProgress(),
        clock=TickingClock(),
        deadline_s=60.0,
    )

"""A run over a toy model and one-letter words, without export or measuring."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.support.toy_models import logits_of, trained_state
from thinfer.compress.state import State
from thinfer.core.clock import ManualClock
from thinfer.core.progress import SilentProgress
from thinfer.pipeline.data import DataSets, LabelledSet
from thinfer.pipeline.job import Job
from thinfer.pipeline.request import CompressRequest, DataRequest
from thinfer.pipeline.workspace import Workspace
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import OperatingPoint
from thinfer.text.corpus import Corpus

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz0123456789"))


def toy_corpus(rows: int, *, seed: int) -> Corpus:
    """Texts of four to twelve one-letter words."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 13, size=rows)
    return Corpus(texts=tuple(" ".join(rng.choice(LETTERS, size=length)) for length in lengths))


def toy_set(rows: int, *, seed: int) -> LabelledSet:
    """Texts with the toy model's own answers for labels."""
    corpus, state = toy_corpus(rows, seed=seed), trained_state()
    answers = logits_of(state, state.tokenizer.encode(corpus.texts).batch).argmax(1).numpy()
    return LabelledSet(corpus=corpus, truth=answers.astype(np.int64))


def toy_job(folder: Path, *, unlabelled: int = 0, **asked: Any) -> Job:  # noqa: ANN401 - fields of the request
    """A run whose model is the trained toy state: 300 rows of train, 100 of dev."""
    parts = {name: folder / f"{name}.csv" for name in ("train", "dev", "test")}
    request = CompressRequest(
        model="toy",
        data=DataRequest(train=parts["train"], dev=parts["dev"], test=parts["test"]),
        out=folder / "bundle",
        **asked,
    )
    for path in parts.values():
        path.touch()
    request.work.mkdir(exist_ok=True)
    state: State = trained_state()
    dev = toy_set(100, seed=2)
    sets = DataSets(
        train=toy_set(300, seed=1),
        dev=dev,
        test=toy_set(10, seed=3),
        unlabelled=toy_corpus(unlabelled, seed=4) if unlabelled else None,
        facts={},
        warnings=(),
    )
    return Job(
        request=request,
        workspace=Workspace(request),
        original=state,
        labels=LabelSet(state.labels),
        problem_type="single_label_classification",
        floors=(),
        sets=sets,
        point=OperatingPoint(),
        original_logits=np.eye(len(state.labels), dtype=np.float32)[dev.truth],
        original_dev=dev.truth,
        threads=1,
        engines=("onnxruntime",),
        precisions=("fp32",),
        progress=SilentProgress(),
        clock=ManualClock(),
    )

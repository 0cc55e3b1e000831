"""The profile that a bundle brings: histograms of the texts it was measured on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.state import State
from thinfer.core.codec import to_json
from thinfer.engine.base import EngineSpec
from thinfer.engine.registry import open_engine_folder
from thinfer.pipeline.candidate import BATCH_TEXTS, Candidate
from thinfer.pipeline.job import Job
from thinfer.pipeline.operate import decider_of
from thinfer.quality.drift import build_profile, read_facts
from thinfer.quality.operating import Decider
from thinfer.text.corpus import Corpus

__all__ = ["profile_candidate", "profile_corpus"]

_MOST_TEXTS = 2048


def profile_candidate(job: Job, candidate: Candidate) -> bytes:
    """Profile the chosen form on `dev`.

    No weight was fitted to that text, so its confidence there is what a service may expect.

    Args:
        job: the run.
        candidate: what was chosen.

    Returns:
        The bytes of `profile.json`.
    """
    return profile_corpus(
        job.sets.dev.corpus,
        candidate.state,
        candidate.spec,
        folder=candidate.folder,
        decider=decider_of(job, candidate),
        threads=job.threads,
        source="dev",
    )


def profile_corpus(
    corpus: Corpus,
    state: State,
    spec: EngineSpec,
    *,
    folder: Path,
    decider: Decider,
    threads: int,
    source: str,
) -> bytes:
    """Run texts through an engine and count what came out.

    Args:
        corpus: at least one text; of a long corpus, 2,048 evenly spread ones (a file may be
            sorted by label).
        state: the model.
        spec: the engine.
        folder: where its files are.
        decider: how the logits are read.
        threads: threads of one call.
        source: which texts they are, for the profile.

    Returns:
        The bytes of `profile.json`.
    """
    rows = np.unique(np.linspace(0, len(corpus) - 1, min(len(corpus), _MOST_TEXTS)).astype(int))
    part = corpus.select([int(row) for row in rows])
    encoding = state.tokenizer.encode(part.texts, part.pairs)
    engine = open_engine_folder(
        folder, spec, state.architecture, pad_id=state.pad_id, threads=threads
    )
    try:
        order = np.argsort(encoding.batch.lengths, kind="stable")  # alike in length, little padding
        logits = np.empty((len(part), len(state.labels)), dtype=np.float32)
        for start in range(0, len(part), BATCH_TEXTS):
            places: NDArray[np.int64] = order[start : start + BATCH_TEXTS]
            logits[places] = engine.run(encoding.batch.select(places))
    finally:
        engine.close()
    facts = read_facts(
        logits,
        lengths=encoding.batch.lengths,
        unknown=encoding.unknown,
        decider=decider,
    )
    profile = build_profile(
        facts, state.labels, source=source, engine=spec.name, precision=spec.precision
    )
    return f"{json.dumps(to_json(profile), ensure_ascii=False, indent=1)}\n".encode()

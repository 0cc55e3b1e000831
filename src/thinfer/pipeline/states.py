"""The states of a run: each kept on disk and tried on `dev`; the dense one first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import PruningMask
from thinfer.compress.embedding import prune_positions, prune_vocabulary
from thinfer.compress.state import State
from thinfer.compress.surgery import cut
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.job import Job, covering_texts
from thinfer.pipeline.workspace import keep_array

__all__ = [
    "StateTrial",
    "cut_blocks_only",
    "dense_state",
    "describe_trial",
    "dropped_layers",
    "try_state",
]

# Fewer rows make a smaller file and no text faster: they may cost this part of a floor's slack.
_VOCABULARY_SPENDS = 0.25
# Share of the vocabulary that stays whether or not the training text uses it.
_COMMONEST = (("dense", 0.0), ("dense-half-vocabulary", 0.5), ("dense-whole-vocabulary", 1.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StateTrial:
    """A state and what its own FP32 torch form answers on `dev`.

    Attributes:
        name: of the state.
        state: the model.
        logits: float32 `[dev rows, classes]`.
        missed: floors that the FP32 form does not clear, as the user wrote them.
        is_hopeless: its value lies below a floor, margin or not.
        base: the same state reading longer texts, where this one cuts them.
        root: the dense state it was cut from, where that is not the run's first.
    """

    name: str
    state: State
    logits: Any
    missed: tuple[str, ...]
    is_hopeless: bool = False
    base: StateTrial | None = None
    root: StateTrial | None = None


def dense_state(job: Job) -> StateTrial:
    """Give the original with its unused token and position rows cut.

    Where `dev` shows that the cut vocabulary alone costs more than a quarter of what a floor allows
    (pretrained vocabularies know words that the training text lacks), more of its commoner rows are
    kept, and in the end all: what is lost here, widths can no longer spend on speed.

    Args:
        job: the run.
    """
    rows = job.original.architecture.vocab
    shorter, _ = prune_positions(job.original, job.original.max_length)
    with job.progress.task("vocabulary and positions", len(_COMMONEST)) as advance:
        for name, share in _COMMONEST:
            state = job.workspace.state(
                name,
                job.original,
                lambda share=share: prune_vocabulary(  # type: ignore[misc]  # default binds the loop's value
                    shorter, covering_texts(job.sets), keep_commonest=int(share * rows)
                )[0],
            )
            trial = try_state(job, name, state)
            advance(1)
            if not job.missed_floors(job.answers(trial.logits), spend=_VOCABULARY_SPENDS):
                return trial
            job.progress.note(f"{name}: {state.architecture.vocab:,} token rows cost too much")
    return trial


def try_state(job: Job, name: str, state: State) -> StateTrial:
    """Run a state's FP32 torch form on `dev`.

    Args:
        job: the run.
        name: of the state.
        state: the model.
    """
    batch = job.sets.dev.encode(state.tokenizer).batch
    logits = keep_array(
        job.workspace.folder(f"states/{name}/dev.npy"),
        lambda: compute_logits(state.module(), batch, pad_id=state.pad_id),
    )
    return describe_trial(job, name, state, logits)


def describe_trial(job: Job, name: str, state: State, logits: NDArray[np.float32]) -> StateTrial:
    """Give a state with what its answers on `dev` say of the floors.

    Args:
        job: the run.
        name: of the state.
        state: the model.
        logits: float32 `[dev rows, classes]`, of its FP32 torch form.
    """
    answers = job.answers(logits)
    return StateTrial(
        name=name,
        state=state,
        logits=logits,
        missed=job.missed_floors(answers),
        is_hopeless=bool(job.missed_floors(answers, margin_se=0.0)),
    )


def dropped_layers(state: State) -> tuple[int, ...]:
    """Give the layers that pruning left out whole, by their numbers in the dense state.

    Args:
        state: cut from the dense one, at most once with layers left out.
    """
    details = [report.details for report in state.history if report.step == "prune"]
    return tuple(index for each in details for index in each.get("drop_layers", ()))


def cut_blocks_only(dense: State, small: State) -> State | None:
    """Give the dense state without the blocks that a narrow one dropped; for timing alone.

    Args:
        dense: the state that was cut.
        small: the state that it became.

    Returns:
        The state whose other blocks are whole, or None where no block was dropped.
    """
    wide, narrow = dense.architecture.layers, small.architecture.layers
    dropped = dropped_layers(small)
    if any(report.step == "student" for report in small.history):
        return None
    if len(wide) != len(narrow) + len(dropped):
        return None
    if not dropped and not any(min(layer.heads, layer.ffn) == 0 for layer in narrow):
        return None
    stays = tuple(index not in dropped for index in range(len(wide)))
    left = iter(narrow)
    pairs = [(w, next(left) if kept else w) for w, kept in zip(wide, stays, strict=True)]
    mask = replace(
        PruningMask.keep_all(dense.architecture),
        heads=tuple(np.full(w.heads, n.heads > 0) for w, n in pairs),
        neurons=tuple(np.full(w.ffn, n.ffn > 0) for w, n in pairs),
        layers=stays,
    )
    return cut(dense, mask)

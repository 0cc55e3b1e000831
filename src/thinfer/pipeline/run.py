"""`compress`: from a checkpoint and labelled text to a judged bundle and its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from thinfer.bundle import check_place
from thinfer.core.clock import Clock
from thinfer.core.cores import usable_cores
from thinfer.core.files import lock_folder
from thinfer.core.progress import Progress
from thinfer.engine.base import Precision
from thinfer.engine.registry import available_engines
from thinfer.errors import EngineError, UserError
from thinfer.export.write import EXPORTERS
from thinfer.nn.checkpoint import Checkpoint, load_checkpoint
from thinfer.nn.device import has_fast_bf16
from thinfer.pipeline.best import keep_best
from thinfer.pipeline.candidate import Candidate
from thinfer.pipeline.choose import choose
from thinfer.pipeline.data import DataSets, load_sets
from thinfer.pipeline.dropped import predict_speedups
from thinfer.pipeline.factors import measure_factors
from thinfer.pipeline.finish import label_set_of, problem_type_of
from thinfer.pipeline.follow import check_recipe
from thinfer.pipeline.job import Job
from thinfer.pipeline.judge import judge_on_test
from thinfer.pipeline.on_dev import describe_reference
from thinfer.pipeline.operate import declare_point, set_declared_rates
from thinfer.pipeline.original import build_baseline, build_original, state_of
from thinfer.pipeline.provable import prefer_provable
from thinfer.pipeline.publish import Compression, Outcome, publish
from thinfer.pipeline.request import CompressRequest
from thinfer.pipeline.search import Found, search_candidates
from thinfer.pipeline.speed import entry_of, measure_speeds, predict_latencies, refuse_slow
from thinfer.pipeline.states import StateTrial
from thinfer.pipeline.workspace import Workspace
from thinfer.pipeline.yardsticks import fit_yardsticks
from thinfer.quality.floor import Floor, default_floors, parse_floor
from thinfer.quality.foresight import draw_likely_truths
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider

__all__ = ["compress"]

# Torch runs what it is asked to; it is not tried by itself, for a service should not carry it.
_AUTO_ENGINES = ("native", "onnxruntime", "openvino")


def compress(request: CompressRequest, *, progress: Progress, clock: Clock) -> Compression:
    """Compress a classifier under a quality floor.

    Args:
        request: what to do.
        progress: told of the work.
        clock: times it.

    Returns:
        The bundle, its verdict and the whole result; the bundle is there whatever the verdict.
    """
    started = clock.monotonic()
    check_place(request.out)
    if request.recipe is not None:
        check_recipe(request.recipe)
    checkpoint = load_checkpoint(request.model)
    labels = label_set_of(checkpoint, normal=request.data.normal_label)
    floors = tuple(parse_floor(expr, labels) for expr in request.floors) or default_floors(labels)
    sets = load_sets(request.data, labels, floors)
    with lock_folder(request.work):
        job, original = _prepare(request, checkpoint, floors, sets, progress, clock, labels=labels)
        if request.minutes is not None:
            job = replace(job, deadline_s=started + 60 * request.minutes)
        baseline = build_baseline(job.workspace, checkpoint, job.original)
        for reference in (original, baseline):
            describe_reference(job, reference)
        found = _search(job)
        tried = found.tried
        candidates = tuple(candidate for candidate, _ in tried)
        measure_speeds(job, original, candidates)
        predict_latencies(candidates, found.table)
        predict_speedups(found.dropped, candidates, found.table)
        refuse_slow(candidates)
        prefer_provable(job, candidates)
        chosen, trial = _choose(tried)
        progress.note(f"chosen on dev: {chosen.name}")
        # Before the factors: their run gives the figures that stand beside the chosen one's.
        measure_speeds(job, original, [baseline])
        outcome = Outcome(
            original=original,
            chosen=chosen,
            baseline=baseline,
            candidates=candidates,
            dropped=found.dropped,
            factors=measure_factors(job, original, chosen, trial, tried),
            judgement=judge_on_test(job, original, chosen),
            yardsticks=fit_yardsticks(job, chosen),
        )
        return publish(job, checkpoint, outcome, seconds=clock.monotonic() - started)


def _prepare(
    request: CompressRequest,
    checkpoint: Checkpoint,
    floors: tuple[Floor, ...],
    sets: DataSets,
    progress: Progress,
    clock: Clock,
    *,
    labels: LabelSet,
) -> tuple[Job, Candidate]:
    declared = declare_point(request, floors, labels)
    engines, precisions = _list_engines(request), _list_precisions(request)
    if not any((engine, kind) in EXPORTERS for engine in engines for kind in precisions):
        what = "no engine can run any of the precisions asked for"
        pairs = ", ".join(f"{engine} {kind}" for engine, kind in EXPORTERS)
        raise UserError(what, expected=pairs, got=f"{engines} {precisions}")
    workspace = Workspace(request)
    state = state_of(checkpoint)
    original = build_original(workspace, state)
    threads = request.threads or usable_cores()
    with progress.task("the original on dev", 1) as advance:
        runner = original.open(threads)
        begun = clock.monotonic()
        logits = runner.run_set(sets.dev)
        seconds = clock.monotonic() - begun
        runner.close()
        advance(1)
    point = set_declared_rates(declared, floors, logits, sets.dev.truth, labels)
    job = Job(
        request=request,
        workspace=workspace,
        original=state,
        labels=labels,
        problem_type=problem_type_of(checkpoint),
        floors=floors,
        sets=sets,
        point=point,
        original_logits=logits,
        original_dev=Decider(labels, point).answer(logits),
        dev_truths=draw_likely_truths(logits, sets.dev.truth, labels),
        threads=threads,
        engines=engines,
        precisions=precisions,
        progress=progress,
        clock=clock,
        original_rate=len(sets.dev) / max(seconds, 1e-9),
    )
    return job, original


def _list_engines(request: CompressRequest) -> tuple[str, ...]:
    missing = available_engines()
    if "auto" in request.engines:
        return tuple(name for name in _AUTO_ENGINES if missing[name] is None)
    known = {engine for engine, _ in EXPORTERS}
    for name in request.engines:
        if name not in known:
            what = f"nothing can be exported for the engine '{name}'"
            raise UserError(what, expected=f"some of {sorted(known)}")
        if missing[name] is not None:
            what = f"the engine '{name}' is not available here"
            raise EngineError(what, got=missing[name])
    return tuple(dict.fromkeys(request.engines))


def _list_precisions(request: CompressRequest) -> tuple[Precision, ...]:
    kinds: tuple[Precision, ...] = ("fp32", "bf16", "int8")
    if "auto" not in request.precisions:
        return tuple(kind for kind in kinds if kind in request.precisions)
    return kinds if has_fast_bf16() else ("fp32", "int8")


def _search(job: Job) -> Found:
    def tell(candidates: Sequence[Candidate]) -> None:
        last = candidates[-1]
        reason = last.facts["refused"]
        job.progress.note(f"{last.name}: {reason or 'clears the floors on dev'}")
        keep_best(job, candidates)

    return search_candidates(job, tell)


def _choose(
    tried: Sequence[tuple[Candidate, StateTrial]],
) -> tuple[Candidate, StateTrial]:
    name = choose([entry_of(candidate.facts) for candidate, _ in tried]).name
    return next(pair for pair in tried if pair[0].name == name)

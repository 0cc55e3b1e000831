"""The candidates of a run: every state in every engine and precision, judged on `dev`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thinfer.engine.base import EngineSpec, Precision
from thinfer.errors import EngineError, UserError
from thinfer.export.write import EXPORTERS
from thinfer.pipeline.candidate import Candidate, Form, build_candidate
from thinfer.pipeline.deadline import seconds_left
from thinfer.pipeline.fallback import fall_back
from thinfer.pipeline.job import Job
from thinfer.pipeline.latency import LatencyTable
from thinfer.pipeline.narrow import RECIPE, find_table
from thinfer.pipeline.on_dev import describe_candidate_cost, judge_on_dev
from thinfer.pipeline.quantaware import SUFFIX
from thinfer.pipeline.shorten import shorten_best
from thinfer.pipeline.source import list_states
from thinfer.pipeline.states import StateTrial, dense_state

__all__ = ["Found", "engines_in_reach", "search_candidates"]

# Of the fastest engine's throughput on the dense state: below it an engine is out of the race.
_IN_REACH = 0.75

_FASTEST_FIRST: tuple[Precision, ...] = ("int8", "bf16", "fp32")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        tried: each candidate, its facts filled but for its speed, and the state it came from;
            least compressed first. A form that cannot be made, or that misses a floor, comes with
            `refused` set.
        table: prices of widths in the engine that runs the dense state fastest.
        dropped: rows of states that no form was made of, with the reason in `refused`.
    """

    tried: tuple[tuple[Candidate, StateTrial], ...]
    table: LatencyTable | None
    dropped: tuple[dict[str, Any], ...] = ()


def search_candidates(job: Job, tell: Callable[[Sequence[Candidate]], None]) -> Found:
    """Make the candidates of a run and measure all but their speed.

    Args:
        job: the run.
        tell: called with all candidates so far after each one.
    """
    tried: list[tuple[Candidate, StateTrial]] = []

    def keep(forms: Iterable[tuple[Candidate, StateTrial]]) -> None:
        for pair in forms:
            tried.append(pair)
            tell([candidate for candidate, _ in tried])

    trial = dense_state(job)
    proven: set[tuple[str, Precision]] = set()  # engine and precision that cleared the floors
    keep(_forms_of(job, trial, job.precisions, proven))
    dense = _fastest([candidate for candidate, _ in tried])
    table = find_table(job, dense)
    priced = _priced(tried, dense, table)
    engines = engines_in_reach(job, [candidate for candidate, _ in tried])

    def is_cleared(state: str) -> bool:
        return any(
            candidate.form.state.removesuffix(SUFFIX) == state and not candidate.facts["refused"]
            for candidate, _ in tried
        )

    def left() -> float:
        return seconds_left(job, [candidate for candidate, _ in tried])

    dropped: dict[str, dict[str, Any]] = {}
    states = list_states(
        job, trial, priced, table=table, left=left, is_cleared=is_cleared, dropped=dropped
    )
    for narrow in states:
        within = () if narrow.name == RECIPE else engines
        keep(_forms_of(job, narrow, _FASTEST_FIRST, proven, within))
        if left() <= 0 and not job.is_explored:  # a search ends by itself, and names the rest
            break
    if left() <= 0:
        job.progress.note(f"stopped looking, to end after {job.request.minutes:g} minutes")
    else:
        parent, shorter = shorten_best(job, tried, dropped)
        for each in shorter:
            pair = _try_form(job, replace(parent, state=each.name), each), each
            keep([pair])
            if not pair[0].facts["refused"]:
                break
    return Found(tried=tuple(tried), table=table, dropped=tuple(dropped.values()))


def _fastest(dense: Sequence[Candidate]) -> Candidate:
    """Give the form of the dense state with the highest throughput, floors permitting.

    Where that one keeps some blocks in FP32, its plain INT8 form stands for it: prices are
    measured, and widths cut, from what was not changed for one state's sake.
    """
    able = [item for item in dense if item.facts.get("dev_texts_per_second")]
    good = [item for item in able if not item.facts["refused"]] or able
    if not good:
        what = "no form of the dense model could be run"
        got = "; ".join(str(item.facts["refused"]) for item in dense)
        raise EngineError(what, got=got, do="run `thinfer doctor`")
    best = max(good, key=lambda item: float(item.facts["dev_texts_per_second"])).form
    same = (best.engine, best.precision)
    return next(item for item in able if (item.form.engine, item.form.precision) == same)


def _priced(
    tried: Sequence[tuple[Candidate, StateTrial]], fastest: Candidate, table: LatencyTable | None
) -> Candidate:
    """Give the dense form that the table prices: a table of the user's names its own engine."""
    if table is None:
        return fastest
    for candidate, _ in tried:
        form = candidate.form
        if (form.engine, form.precision) == (table.engine, table.precision):
            return candidate
    what = "the latency table belongs to an engine or precision that this run does not try"
    forms = ", ".join(f"{item.form.engine} {item.form.precision}" for item, _ in tried)
    raise UserError(what, expected=forms, got=f"{table.engine} {table.precision}")


def engines_in_reach(job: Job, dense: Sequence[Candidate]) -> tuple[str, ...]:
    """Give the engines that may still win at a narrower width; all, where the user named them.

    An engine that runs the dense state far slower than another one will not overtake it when
    both get less to do.
    """
    if "auto" not in job.request.engines:
        return job.engines
    best: dict[str, float] = {}
    for item in dense:
        if item.facts["refused"] is None:
            speed = float(item.facts.get("dev_texts_per_second") or 0.0)
            best[item.form.engine] = max(speed, best.get(item.form.engine, 0.0))
    fastest = max(best.values(), default=0.0)
    kept = tuple(name for name in job.engines if best.get(name, 0.0) >= _IN_REACH * fastest)
    for name in job.engines:
        if name not in kept:
            share = best.get(name, 0.0) / fastest
            job.progress.note(f"{name}: {share:.2f} of the fastest engine; not tried on narrower")
    return kept


def _forms_of(
    job: Job,
    trial: StateTrial,
    order: Sequence[Precision],
    proven: set[tuple[str, Precision]],
    engines: Sequence[str] = (),
) -> Iterator[tuple[Candidate, StateTrial]]:
    """Give the forms of a state: all of the dense one and of a recipe's, else what can still win.

    Lower precision comes first there, and a higher one is made only while no lower one of the
    same engine has cleared the floors at any width: it would be the slower of two that hold.
    """
    is_dense = _is_whole(job, trial)
    engines = engines or job.engines
    with job.progress.task(f"candidates of {trial.name}", len(engines)) as advance:
        for engine in engines:
            for precision in order:
                if precision not in job.precisions or (engine, precision) not in EXPORTERS:
                    continue
                form = Form(state=trial.name, engine=engine, precision=precision)
                plain = _try_form(job, form, trial)
                yield plain, trial
                forms = [plain]
                for candidate, its_trial in fall_back(job, plain, trial, _try_form):
                    forms.append(candidate)
                    yield candidate, its_trial
                if not all(candidate.facts["refused"] for candidate in forms):
                    proven.add((engine, precision))
                # What the FP32 form has lost, no precision wins back: one form shows it.
                if not is_dense and (trial.is_hopeless or (engine, precision) in proven):
                    break
            advance(1)
            if not is_dense and trial.is_hopeless:
                return


def _is_whole(job: Job, trial: StateTrial) -> bool:
    """Whether a state is not pruned, or is the one that a recipe names: it is no choice of ours."""
    is_dense = trial.state.architecture.layers == job.original.architecture.layers
    return is_dense or trial.name == RECIPE


def _try_form(job: Job, form: Form, trial: StateTrial) -> Candidate:
    calibration = job.calibration(trial.state.tokenizer)
    try:
        candidate = build_candidate(job.workspace, form, trial.state, calibration)
    except EngineError as error:
        # One form that an engine cannot take (a gate says no) must not cost the others.
        spec = EngineSpec(name=form.engine, precision=form.precision, files=())
        folder = job.workspace.folder(f"candidates/{form.name}")
        candidate = Candidate(form=form, state=trial.state, spec=spec, folder=folder)
        describe_candidate_cost(job, candidate)
        candidate.facts["refused"] = f"parity: it cannot be made: {error}"
        return candidate
    judge_on_dev(job, candidate, trial)
    return candidate

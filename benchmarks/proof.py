"""How far the verdicts can be trusted: false `holds`, coverage of intervals, rows that are needed.

No model and no data: chances are summed exactly where a metric is one rate, and test sets are
drawn with a seed where it is not. `--limit N` draws N sets a case; it is then a trial.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.proof_draws import draw_all
from benchmarks.proof_power import count_rows, expect_proof, size_liu, size_nam
from benchmarks.proof_select import draw_selections, spread_losses
from benchmarks.proof_sums import (
    ROUNDING,
    Change,
    chance_of_clearing,
    chance_of_covering,
    chance_of_holding,
    choose_and_judge,
    make_rows,
    sum_binomial,
    wilson,
)
from benchmarks.record import save
from benchmarks.settings import Settings, make_parser, say, to_settings
from thinfer.quality import LabelSet, judge, parse_floor
from thinfer.quality.intervals import clopper_pearson_lower, clopper_pearson_upper
from thinfer.quality.paired import bound_loss

TRIALS = (100, 300, 1000, 3000, 10_000)
ALLOWED = (0.001, 0.005, 0.01, 0.02)
CHANGED = (0.002, 0.005, 0.01, 0.02, 0.05)
RIGHT = 0.8  # of the rows, how many the original has right
CANDIDATES = (1, 3, 10, 30)
DRAWS, PAIRS = 200, 400
QUICK = 20
_MANY_SIZES = 60
_FEW, _MANY = {"lost": 0.01, "gained": 0.02}, {"lost": 0.03, "gained": 0.1}
_RATES = [(name, True) for name in ("accuracy", "recall[a]", "flagged_recall", "flag_rate")]
_RESAMPLED = [
    *[(name, True) for name in ("macro_f1", "recall", "precision[a]", "precision[rare]")],
    ("macro_f1", False),
]
_DRAWN = {
    "drawn sets, rates": (_FEW, _RATES, (1000, 10_000)),
    "drawn sets, few changes": (_FEW, _RESAMPLED, (100, 300, 3000)),
    "drawn sets, many changes": (_MANY, _RESAMPLED, (100, 300, 3000)),
}


def sum_false_holds() -> dict[str, Any]:
    """Sum the chance of `holds` exactly at the floor, and look for the worst size."""
    rows = []
    for allowed, changed in _feasible():
        chances = {
            str(trials): [
                chance_of_holding(_at(trials, allowed, changed, others), allowed)
                for others in (round(trials * (1 / RIGHT - 1)), 1000 * trials)
            ]
            for trials in TRIALS
        }
        sizes = np.unique(np.geomspace(100, 10_000, _MANY_SIZES).astype(int)).tolist()
        every = {
            trials: chance_of_holding(_at(trials, allowed, changed, 1000 * trials), allowed)
            for trials in sizes
        }
        worst = max(every, key=every.__getitem__)
        rows.append(
            {
                "allowed": allowed,
                "changed": changed,
                "chance": {trials: max(pair) for trials, pair in chances.items()},
                "worst": {"trials": worst, "chance": every[worst]},
            }
        )
    return {"rows": rows, "absolute": _sum_absolute(), "same_as_judge": _compare_with_judge()}


def _sum_absolute() -> list[dict[str, float]]:
    """Absolute floors on a rate: the exact bound, on so many rows with exactly that rate."""
    found = []
    for bound in (0.9, 0.99, 0.995):
        for rows in TRIALS:
            first, chances = sum_binomial(rows, 1 - bound)
            allowed = 1 - bound + ROUNDING
            holds = [
                clopper_pearson_upper(first + place, rows) <= allowed
                for place in range(len(chances))
            ]
            found.append({"bound": bound, "rows": rows, "chance": float(chances @ holds)})
    return found


def _compare_with_judge() -> dict[str, int]:
    """Ask `judge` itself about outcomes drawn at the floor; the sums must say the same."""
    rng, labels, alike, asked = np.random.default_rng(0), LabelSet(("right", "wrong")), 0, 0
    for allowed, changed in _feasible():
        floor = parse_floor(f"accuracy>={100 * (1 - allowed):.10f}%", labels)
        for trials in TRIALS[1:]:
            change = _at(trials, allowed, changed, trials // 4)
            losses = int(rng.binomial(trials, change.lost / 2))
            gains = int(rng.binomial(trials, change.gained))
            truth, first, second = make_rows(trials, trials // 4, losses, gains)
            said = judge(
                floor, truth=truth, original=first, candidate=second, labels=labels, rng=rng
            )
            summed = bound_loss(losses, gains, trials) <= allowed + ROUNDING
            alike += int((said.verdict == "holds") == summed)
            asked += 1
    return {"asked": asked, "alike": alike}


def sum_selection() -> dict[str, Any]:
    """Sum false `holds` where `dev` chooses among candidates whose changes are independent."""
    rows = []
    for allowed, changed in _feasible((0.001, 0.005)):
        for trials in TRIALS:
            for count in CANDIDATES:
                for name, losses in _kinds(count, allowed):
                    rows.append(
                        {
                            "allowed": allowed,
                            "changed": changed,
                            "trials": trials,
                            "candidates": count,
                            "losses": name,
                            **_choose(trials, losses, allowed, changed),
                        }
                    )
    return {"rows": rows}


def _kinds(count: int, allowed: float) -> Iterator[tuple[str, list[float]]]:
    yield "all at the floor", [allowed] * count
    yield "from twice to half of what is allowed", spread_losses(count, allowed)


def _choose(trials: int, losses: list[float], allowed: float, changed: float) -> dict[str, float]:
    others = round(trials * (1 / RIGHT - 1))
    changes = [
        Change.at(trials, net=net, changed=max(changed, net), others=others) for net in losses
    ]
    clearing = {change: chance_of_clearing(change, allowed) for change in set(changes)}
    holding = {change: chance_of_holding(change, allowed) for change in set(changes)}
    chosen, taken = choose_and_judge(
        [clearing[change] for change in changes],
        [holding[change] for change in changes],
        [net >= allowed - ROUNDING for net in losses],
    )
    return {"on_dev": chosen, "on_test": taken}


def draw_selection(draws: int, seed: int) -> dict[str, Any]:
    """Draw dev and test sets that all candidates share, and choose as the pipeline does."""
    rows = []
    for count in CANDIDATES:
        for name, losses in _kinds(count, 0.005):
            say(f"shared rows: {count} candidates, {name}")
            found = draw_selections(losses, allowed=0.005, rows=1250, draws=draws, seed=seed)
            rows.append({"losses": name, **found})
    return {"draws": draws, "rows": rows}


def sum_coverage() -> dict[str, Any]:
    """Sum how often each bound of a rate covers the truth."""
    paired = []
    for net in (-0.01, -0.002, 0.0, 0.0025, 0.005, 0.02):
        for changed in CHANGED:
            if changed >= abs(net):
                pairs = [chance_of_covering(_at(trials, net, changed)) for trials in TRIALS]
                low, high = zip(*pairs, strict=True)
                paired.append({"net": net, "changed": changed, "low": low, "high": high})
    return {"trials": TRIALS, "paired": paired, "rates": _cover_rates()}


def _cover_rates() -> list[dict[str, Any]]:
    """Cover fixed rates by Clopper-Pearson, each side, and by Wilson, both sides at once."""
    found = []
    for rows in (20, *TRIALS):
        for rate in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999):
            first, chances = sum_binomial(rows, 1 - rate)
            kept = [rows - first - place for place in range(len(chances))]
            low = [clopper_pearson_lower(count, rows) <= rate for count in kept]
            high = [clopper_pearson_upper(count, rows) >= rate for count in kept]
            ends = [wilson(count, rows) for count in kept]
            both = [below <= rate <= above for below, above in ends]
            sums = {"low": low, "high": high, "wilson": both}
            found.append(
                {
                    "rows": rows,
                    "rate": rate,
                    **{name: float(chances @ covers) for name, covers in sums.items()},
                }
            )
    return found


def draw_judged(name: str, draws: int, seed: int) -> dict[str, Any]:
    """Judge drawn sets at the floor: every kind of metric, small sets and a rare class too.

    Args:
        name: which of `_DRAWN`.
        draws: sets of each case.
        seed: of all.
    """
    changes, metrics, sizes = _DRAWN[name]
    cases = [
        {"accuracy": 0.85, **changes, "metric": metric, "relative": relative, "rows": rows}
        for metric, relative in metrics
        for rows in sizes
    ]
    return {"draws": draws, "rows": draw_all(cases, draws=draws, seed=seed)}


def sum_power() -> dict[str, Any]:
    """Find the rows that prove `99.5%` four times in five, and what formulas say."""
    share, allowed, power = 0.9, 0.005, 0.8
    rows = []
    for net in (0.0, 0.001, 0.0025):
        for changed in CHANGED:
            if changed < net:
                continue
            say(f"power: net loss {net:.2%}, {changed:.1%} changed")
            trials = count_rows(net=net, changed=changed, allowed=allowed, share=share, power=power)
            sizes = {"margin": allowed * share, "power": power}
            parts = [(changed + net) / 2 * share, (changed - net) / 2 * share]
            nam = size_nam(lost=parts[0], gained=parts[1], **sizes)
            expected = expect_proof(net=net, changed=changed, allowed=allowed)
            rows.append(
                {
                    "net": net,
                    "changed": changed,
                    "rows": math.ceil(trials / share),
                    "nam": math.ceil(nam),
                    "liu": math.ceil(size_liu(lost=parts[0], gained=parts[1], **sizes)),
                    "ratio": trials / share / nam,
                    "power_at_nam": _power(round(nam * share), net, changed, share, allowed),
                    "as_expected": math.ceil(expected / share),
                    "power_as_expected": _power(expected, net, changed, share, allowed),
                }
            )
    return {"allowed": allowed, "share": share, "power": power, "rows": rows}


def _power(trials: int, net: float, changed: float, share: float, allowed: float) -> float:
    others = round(trials * (1 - share) / share)
    return chance_of_holding(Change.at(trials, net=net, changed=changed, others=others), allowed)


def _feasible(allowed: tuple[float, ...] = ALLOWED) -> list[tuple[float, float]]:
    """Give floors with a discordance: who loses so much has changed at least so much."""
    return [(part, changed) for part in allowed for changed in CHANGED if changed >= part]


def _at(trials: int, net: float, changed: float, others: int | None = None) -> Change:
    rest = round(trials * (1 / RIGHT - 1)) if others is None else others
    return Change.at(trials, net=net, changed=changed, others=rest)


def make_parts(settings: Settings) -> dict[str, Callable[[], dict[str, Any]]]:
    """Give what this benchmark measures, by name."""
    draws, pairs = (settings.limit or most for most in (DRAWS, PAIRS))
    return {
        "false holds": sum_false_holds,
        "selection": sum_selection,
        "selection, shared rows": lambda: draw_selection(pairs, settings.seed),
        "coverage": sum_coverage,
        **{name: functools.partial(draw_judged, name, draws, settings.seed) for name in _DRAWN},
        "power": sum_power,
    }


def main() -> None:
    """Run all parts, or some."""
    parser = make_parser(__doc__)
    parser.add_argument("--only", help="some of the parts, by name")
    parser.add_argument("--quick", action="store_true", help=f"a trial: --limit {QUICK}")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.limit = QUICK
    settings = to_settings(arguments)
    parts = make_parts(settings)
    for name in parts if arguments.only is None else arguments.only.split("+"):
        say(f"== {name}")
        save(settings, "proof", {name: parts[name]()})


if __name__ == "__main__":
    main()

"""Rows that prove a floor with some power: by our rule, and by published sample sizes."""

from __future__ import annotations

import math
from statistics import NormalDist

from benchmarks.proof_sums import Change, chance_of_holding
from thinfer.quality.paired import bound_loss

__all__ = ["count_rows", "expect_proof", "size_liu", "size_nam"]

ERROR = 0.05  # one-sided
_STEP = 1.01  # between the sizes that are tried
_AHEAD = 30  # sizes looked at beyond one that will do: power goes up and down by whole rows
_LEAST, _MOST = 50, 2_000_000


def size_nam(
    *, lost: float, gained: float, margin: float, power: float, error: float = ERROR
) -> float:
    """Give the pairs that the score test of paired proportions needs.

    Nam, J. (1997), Establishing equivalence of two treatments and sample size requirements in
    matched-pairs design, Biometrics 53, 1422-1430; the test is also that of Tango (1998),
    Statistics in Medicine 17, 891-908. At the margin both proportions are re-estimated by
    maximum likelihood. With a margin of 0 it is Connor (1987), Biometrics 43, 207-211.

    Args:
        lost: share of all pairs that only the first has.
        gained: share of all pairs that only the second has.
        margin: largest difference of the two proportions that is allowed.
        power: chance to prove it.
        error: chance to prove what lies at the margin.
    """
    linear = lost * (1 + margin) + gained * (1 - margin) - 2 * margin
    constant = gained * margin * (1 - margin)
    gained_at = (linear + math.sqrt(linear * linear + 8 * constant)) / 4
    at_margin = math.sqrt(2 * gained_at + margin - margin * margin)
    return _size(lost, gained, margin, power, error, at_margin)


def size_liu(
    *, lost: float, gained: float, margin: float, power: float, error: float = ERROR
) -> float:
    """Give the pairs that Wald's test of paired proportions needs.

    Liu, J.-P. et al. (2002), Tests for equivalence or non-inferiority for paired binary data,
    Statistics in Medicine 21, 231-245: the variance is the one that is seen.

    Args:
        lost: as for `size_nam`.
        gained: likewise.
        margin: likewise.
        power: likewise.
        error: likewise.
    """
    seen = math.sqrt(lost + gained - (lost - gained) ** 2)
    return _size(lost, gained, margin, power, error, seen)


def _size(
    lost: float, gained: float, margin: float, power: float, error: float, at_margin: float
) -> float:
    normal, net = NormalDist(), lost - gained
    seen = math.sqrt(lost + gained - net * net)
    reach = normal.inv_cdf(1 - error) * at_margin + normal.inv_cdf(power) * seen
    return (reach / (margin - net)) ** 2


def count_rows(*, net: float, changed: float, allowed: float, share: float, power: float) -> int:
    """Give T from which on our verdict is `holds` with at least this chance.

    The chance goes up and down as T grows, for counts are whole: of the sizes 1 % apart, the
    last that will not do decides.

    Args:
        net: true net loss, as a share of T.
        changed: discordance, as a share of T.
        allowed: m.
        share: of the rows of the metric, how many the original has.
        power: the chance.
    """

    def will_do(step: int) -> bool:
        trials = round(_LEAST * _STEP**step)
        others = round(trials * (1 - share) / share)
        change = Change.at(trials, net=net, changed=changed, others=others)
        return chance_of_holding(change, allowed) >= power

    low, high = 0, math.ceil(math.log(_MOST / _LEAST) / math.log(_STEP))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if will_do(middle) else (middle, high)
    found = max((step for step in range(low, low + _AHEAD) if not will_do(step)), default=low)
    return round(_LEAST * _STEP ** (found + 1))


def expect_proof(*, net: float, changed: float, allowed: float) -> int:
    """Give T at which counts that are exactly as expected prove the floor.

    It is what `rows_needed` of a verdict says, on the scale of T.

    Args:
        net: true net loss, as a share of T.
        changed: discordance, as a share of T.
        allowed: m.
    """
    lost, gained = (changed + net) / 2, (changed - net) / 2
    trials = _LEAST
    while bound_loss(lost * trials, gained * trials, trials) > allowed:
        trials = max(trials + 1, int(trials * 1.001))
    return trials

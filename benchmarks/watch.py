"""Power of the watch on promised floors: after how many flagged texts a bad version is stopped.

Simulated: each flagged text is lost with a fixed chance, the watch is looked at after each. No
sequential test that stops a good version at most once in twenty can need fewer texts on average
than ln 20 / KL(loss, allowed), where KL is the Kullback-Leibler divergence of two coins.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.record import save
from benchmarks.settings import make_parser, say, to_settings
from thinfer.quality.sequential import EVIDENCE, RateWatch

ALLOWED = 0.005
LOSSES = (0.0075, 0.01, 0.02, 0.05, 0.1)
SHARES_AT_FLOOR = (0.5, 1.0)  # of what is allowed
RUNS = 2000
HORIZON = 200_000  # texts


def texts_until_stop(
    rng: np.random.Generator, *, loss: float, allowed: float = ALLOWED, horizon: int = HORIZON
) -> int | None:
    """Give the flagged text at which a version is stopped; None within the horizon."""
    watch = RateWatch(allowed)
    while True:
        gap = int(rng.geometric(loss))  # the evidence only rises where a text is lost
        if watch.trials + gap > horizon:
            return None
        watch.add(1, gap)
        if watch.is_broken:
            return watch.trials


def fewest_texts(loss: float, allowed: float = ALLOWED) -> float:
    """Give the mean number of texts that no valid test can go below."""
    apart = loss * math.log(loss / allowed) + (1 - loss) * math.log((1 - loss) / (1 - allowed))
    return math.log(EVIDENCE) / apart


def measure(rng: np.random.Generator, loss: float, runs: int) -> dict[str, Any]:
    """Simulate one loss rate."""
    found = [texts_until_stop(rng, loss=loss) for _ in range(runs)]
    stops = np.asarray([item for item in found if item is not None], dtype=np.float64)
    is_bad = loss > ALLOWED
    return {
        "loss": loss,
        "stopped": len(stops) / runs,
        "fewest": fewest_texts(loss) if is_bad else None,
        "mean": float(stops.mean()) if is_bad else None,
        **{
            name: float(np.quantile(stops, share)) if is_bad else None
            for name, share in (("median", 0.5), ("p90", 0.9))
        },
    }


def main() -> None:
    """Simulate each loss rate and store the table."""
    settings = to_settings(make_parser(__doc__).parse_args())
    runs = settings.limit or RUNS
    rng = np.random.default_rng(settings.seed)
    rows = []
    for loss in (*(share * ALLOWED for share in SHARES_AT_FLOOR), *LOSSES):
        say(f"loss {loss:.2%}")
        rows.append(measure(rng, loss, runs))
    body = {"allowed": ALLOWED, "runs": runs, "horizon": HORIZON, "rows": rows}
    save(settings, "watch", {"power": body})


if __name__ == "__main__":
    main()

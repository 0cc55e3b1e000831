"""The self-test of a bundle: its golden set, through the engine that is about to serve."""

from __future__ import annotations

import numpy as np

from thinfer.bundle import Bundle
from thinfer.engine.base import Engine
from thinfer.errors import EngineError
from thinfer.quality.answers import encode_answers

__all__ = ["check_golden"]


def check_golden(bundle: Bundle, engine: Engine) -> float:
    """Run the golden set through an engine and hold it against the reference.

    Args:
        bundle: gives the golden set, and the accepted difference of this engine.
        engine: an engine of that bundle.

    Returns:
        The largest difference of a logit.

    Raises:
        EngineError: NaN, another label or shape, or a difference over the bound; names row and
            difference.
    """
    batch, expected = bundle.golden()
    entry = bundle.engine(engine.info.name)
    got = engine.run(batch)
    if got.shape != expected.shape:
        what = f"the engine '{entry.name}' fails the bundle's self-test"
        raise EngineError(what, expected=f"logits {expected.shape}", got=str(got.shape))
    differences = np.abs(got - expected).max(axis=1)
    several = bundle.manifest.problem_type == "multi_label_classification"
    answers, wanted = (encode_answers(each, is_multi_label=several) for each in (got, expected))
    flipped = answers != wanted
    bad = np.flatnonzero(~(differences <= entry.logits_bound) | flipped)  # NaN is not <= either
    if len(bad):
        row = int(bad[0])
        what = f"the engine '{entry.name}' fails the bundle's self-test at golden row {row}"
        raise EngineError(
            what,
            expected=f"the reference's label, logits within {entry.logits_bound:g}",
            got=f"a difference of {differences[row]:.6g}, "
            f"{'labels' if several else 'label'} {answers[row]} for {wanted[row]}",
            do="name another --engine, or make the bundle anew on this machine",
        )
    return float(differences.max())

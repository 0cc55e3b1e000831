"""Drift: the index against known cases, what chance explains, and profiles that are refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from thinfer.core.codec import from_json, to_json
from thinfer.errors import DataError
from thinfer.quality.drift import (
    EDGES,
    Profile,
    TextFacts,
    build_profile,
    compare_facts,
    compute_psi,
    read_facts,
)
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider

LABELS = ("normal", "spam", "abuse")
ONE_OF = Decider(LabelSet(LABELS))
MANY = Decider(LabelSet(LABELS, is_multi_label=True))


def counts(*values: int) -> Any:  # noqa: ANN401 - int64 array
    return np.array(values, dtype=np.int64)


def draw_facts(texts: int, *, seed: int, strength: float = 3.0, flagged: float = 0.3) -> TextFacts:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(texts, 3)).astype(np.float32)
    winners = np.where(rng.random(texts) < flagged, rng.integers(1, 3, size=texts), 0)
    logits[np.arange(texts), winners] += strength
    lengths = rng.integers(3, 40, size=texts)
    return read_facts(
        logits,
        lengths=lengths,
        unknown=(rng.random(texts) < 0.1).astype(np.int64),
        decider=ONE_OF,
    )


def profile_of(facts: TextFacts) -> Profile:
    return build_profile(facts, LABELS, source="dev", engine="fake", precision="fp32")


def test_equal_histograms_have_no_shift() -> None:
    psi, chance = compute_psi(counts(10, 20, 70), counts(10, 20, 70))
    assert psi == 0
    assert chance > 0
    alone, nothing = compute_psi(counts(100), counts(7))
    assert abs(alone) < 1e-12
    assert nothing == 0


def test_the_index_of_a_case_worked_by_hand() -> None:
    # Shares 0.5, 0.5 → 0.8, 0.2: 0.3·ln 1.6 + (−0.3)·ln 0.4 = 0.3·ln 4; so many texts that the
    # half text a cell gets is out of sight.
    psi, _ = compute_psi(counts(5_000_000, 5_000_000), counts(8_000_000, 2_000_000))
    assert psi == pytest.approx(0.3 * math.log(4), rel=1e-5)
    swapped, _ = compute_psi(counts(8_000_000, 2_000_000), counts(5_000_000, 5_000_000))
    assert swapped == pytest.approx(psi)


def test_a_cell_that_one_side_leaves_empty_is_finite_and_one_that_both_leave_does_not_count() -> (
    None
):
    psi, chance = compute_psi(counts(100, 0), counts(0, 100))
    # Shares 100.5 / 101 and 0.5 / 101 change places.
    assert psi == pytest.approx(2 * 100 / 101 * math.log(201))
    assert compute_psi(counts(100, 0, 0), counts(0, 100, 0)) == (psi, chance)


def test_the_quantile_of_chance_is_that_of_chi_square() -> None:
    # 99 % quantiles of χ²: 9 degrees 21.666, 4 degrees 13.277.
    for cells, quantile in ((10, 21.666), (5, 13.277)):
        _, chance = compute_psi(counts(*[200] * cells), counts(*[100] * cells))
        spread = 1 / (200 * cells) + 1 / (100 * cells)
        assert chance == pytest.approx(quantile * spread, rel=0.01)


def test_unchanged_texts_pass_chance_about_once_in_a_hundred_windows() -> None:
    rng = np.random.default_rng(5)
    shares = [0.05, 0.1, 0.15, 0.3, 0.4]
    above = 0
    for _ in range(2000):
        psi, chance = compute_psi(rng.multinomial(800, shares), rng.multinomial(500, shares))
        above += psi > chance
    assert 5 <= above <= 40


def test_facts_follow_the_formulas_of_the_classifier() -> None:
    logits = np.array([[0, 0, 0], [1000, 0, 0]], dtype=np.float32)
    facts = read_facts(logits, lengths=counts(4, 8), unknown=counts(1, 0), decider=ONE_OF)
    assert facts.confidence.tolist() == pytest.approx([1 / 3, 1.0])
    assert facts.label.tolist() == [0, 0]
    assert facts.unknown_rate.tolist() == [0.25, 0]
    sigmoid = read_facts(
        logits[:, :1] * -1,
        lengths=counts(4, 8),
        unknown=counts(0, 0),
        decider=Decider(LabelSet(("spam",))),
    )
    assert sigmoid.confidence.tolist() == pytest.approx([0.5, 0.0])
    many = read_facts(logits, lengths=counts(4, 8), unknown=counts(0, 0), decider=MANY)
    assert many.confidence.tolist() == pytest.approx([0.5, 1.0])
    none = read_facts(logits[:0], lengths=counts(), unknown=counts(), decider=ONE_OF)
    assert len(none) == 0


def test_the_same_kind_of_texts_is_stable_and_another_kind_is_not() -> None:
    profile = profile_of(draw_facts(2000, seed=1))
    same = compare_facts(draw_facts(1000, seed=2), LABELS, normal_label="normal", profile=profile)
    assert {shift.verdict for shift in same.values()} == {"stable"}
    assert set(same) == {"confidence", "length", "unknown_rate", "label", "flag"}
    unsure = compare_facts(
        draw_facts(1000, seed=2, strength=0.5), LABELS, normal_label="normal", profile=profile
    )
    assert unsure["confidence"].verdict == "large"
    assert unsure["length"].verdict == "stable"
    flagged = compare_facts(
        draw_facts(1000, seed=2, flagged=0.9), LABELS, normal_label="normal", profile=profile
    )
    assert flagged["flag"].verdict == flagged["label"].verdict == "large"
    assert flagged["flag"].live[1] > flagged["flag"].live[0]


def test_what_chance_explains_is_stable_whatever_the_index() -> None:
    few = profile_of(draw_facts(20, seed=1))
    shifts = compare_facts(draw_facts(100, seed=2), LABELS, normal_label=None, profile=few)
    length = shifts["length"]
    assert length.psi is not None
    assert length.chance is not None
    assert 0.1 < length.psi < length.chance
    assert length.verdict == "stable"


def test_without_a_profile_or_texts_or_a_normal_label_it_says_so() -> None:
    facts = draw_facts(200, seed=1)
    absent = compare_facts(facts, LABELS, normal_label="normal", profile=None)
    assert {shift.verdict for shift in absent.values()} == {"absent"}
    assert all(shift.psi is None and shift.stored is None for shift in absent.values())
    assert sum(absent["confidence"].live) == 200
    profile = profile_of(facts)
    for texts in (0, 1, 99):
        few = compare_facts(draw_facts(texts, seed=2), LABELS, normal_label=None, profile=profile)
        assert {shift.verdict for shift in few.values()} == {"too_few"}
        assert "flag" not in few
    renamed = compare_facts(facts, ("a", "b", "c"), normal_label="a", profile=profile)
    assert renamed["label"].verdict == renamed["flag"].verdict == "absent"
    assert renamed["length"].verdict == "stable"


def test_a_profile_keeps_its_own_borders() -> None:
    profile = profile_of(draw_facts(200, seed=1))
    coarse = dataclasses.replace(
        profile,
        edges={**profile.edges, "length": (20.0,)},
        counts={**profile.counts, "length": (100, 100)},
    )
    shift = compare_facts(draw_facts(200, seed=1), LABELS, normal_label=None, profile=coarse)
    assert shift["length"].edges == (20.0,)
    assert len(shift["length"].live) == 2


def facts_of_odds(odds: Any) -> TextFacts:  # noqa: ANN401 - float [texts]
    logits = np.stack([odds, np.zeros_like(odds)], axis=1).astype(np.float32)
    ones = np.ones(len(odds), dtype=np.int64)
    return read_facts(logits, lengths=ones, unknown=ones * 0, decider=ONE_OF)


def test_the_borders_of_confidence_cut_what_was_seen_into_tenths() -> None:
    # All between 0.86 and 0.91, as a model trained with smoothed labels answers.
    rng = np.random.default_rng(0)
    profile = profile_of(facts_of_odds(rng.uniform(1.8, 2.3 + 1, size=1000)))
    assert min(profile.counts["confidence"]) > 50
    moved = compare_facts(
        facts_of_odds(rng.uniform(1.8, 2.3, size=500)), LABELS, normal_label=None, profile=profile
    )
    assert moved["confidence"].verdict == "large"


def test_rounding_on_another_machine_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    # Saturated answers, and answers that are all the same: borders never come closer than a tenth.
    for odds in (rng.uniform(14, 40, size=1000), np.full(1000, 3.0), np.full(1000, 800.0)):
        profile = profile_of(facts_of_odds(odds))
        again = compare_facts(
            facts_of_odds(odds + rng.normal(scale=1e-4, size=1000)),
            LABELS,
            normal_label=None,
            profile=profile,
        )
        edges = np.array(profile.edges["confidence"])
        odds_of_edges = np.log(edges) - np.log1p(-edges)
        assert np.all(np.diff(odds_of_edges) > 0.099)
        assert again["confidence"].verdict == "stable"
        assert again["confidence"].psi == pytest.approx(0, abs=0.01)


def test_a_profile_comes_back_from_json() -> None:
    profile = profile_of(draw_facts(50, seed=1))
    assert from_json(Profile, to_json(profile)) == profile


@pytest.mark.parametrize(
    "change",
    [
        {"texts": 49},
        {"texts": 0},
        {"labels": ("normal", "spam")},
        {"mean_confidence": 1.5},
        {"edges": {}},
        {"edges.length": [8.0, 4.0]},
        {"edges.length": list(reversed(EDGES["length"]))},
        {"edges.weight": [1.0]},
        {"counts.weight": [50]},
        {"counts": {"label": (50, 0, 0)}},
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    body = to_json(profile_of(draw_facts(50, seed=1)))
    for name, value in change.items():
        field, _, quantity = name.partition(".")
        body[field] = {**body[field], quantity: value} if quantity else value
    with pytest.raises(DataError, match="contradicts itself"):
        from_json(Profile, body)


def test_a_negative_cell_and_no_text_at_all_are_refused() -> None:
    profile = profile_of(draw_facts(50, seed=1))
    with pytest.raises(DataError):
        dataclasses.replace(profile, counts={**profile.counts, "label": (51, -1, 0)})
    with pytest.raises(DataError):
        profile_of(draw_facts(0, seed=1))

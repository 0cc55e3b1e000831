"""Grouping by length: every sequence once, never dearer than one group, the true optimum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from thinfer.engine.grouping import balance_groups, plan_groups

Lengths = NDArray[np.int64]


def cost_of(groups: list[Lengths], lengths: Lengths, overhead: int) -> int:
    return sum(len(group) * int(lengths[group].max()) + overhead for group in groups)


def brute_force(lengths: Lengths, overhead: int) -> int:
    ordered = np.sort(lengths)
    cuts = itertools.product([False, True], repeat=len(ordered) - 1)
    return min(
        cost_of(np.split(np.arange(len(ordered)), np.flatnonzero(cut) + 1), ordered, overhead)
        for cut in cuts
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(0, 80))
def test_no_split_is_cheaper(values: list[int], overhead: int) -> None:
    lengths = np.array(values, dtype=np.int64)
    groups = plan_groups(lengths, overhead_tokens=overhead)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(values)))
    assert cost_of(groups, lengths, overhead) == brute_force(lengths, overhead)


def test_a_long_text_does_not_pad_the_short_ones() -> None:
    lengths = np.array([10, 128, 10, 10], dtype=np.int64)
    groups = plan_groups(lengths, overhead_tokens=32)
    assert [group.tolist() for group in groups] == [[1], [0, 2, 3]]


@pytest.mark.parametrize("values", [[], [5], [7] * 9])
def test_small_and_even_batches(values: list[int]) -> None:
    groups = plan_groups(np.array(values, dtype=np.int64), overhead_tokens=0)
    assert len(groups) == min(1, len(values))


def test_a_large_overhead_keeps_one_group_longest_first() -> None:
    groups = plan_groups(np.array([3, 9, 4], dtype=np.int64), overhead_tokens=1000)
    assert [group.tolist() for group in groups] == [[1, 2, 0]]


def test_balanced_groups_hold_every_sequence_once_and_leave_nobody_waiting() -> None:
    rng = np.random.default_rng(3)
    for workers in (1, 2, 3, 8):
        lengths = rng.integers(3, 60, size=64)
        groups = plan_groups(lengths, overhead_tokens=32)
        parts = balance_groups(groups, lengths, workers=workers)
        assert sorted(np.concatenate(parts).tolist()) == list(range(64))
        costs = [len(rows) * int(lengths[rows].max()) for rows in parts]
        assert costs == sorted(costs, reverse=True)
        total = sum(len(rows) * int(lengths[rows].max()) for rows in groups)
        assert workers == 1 or all(
            cost <= total / (2 * workers) or len(rows) < 8
            for cost, rows in zip(costs, parts, strict=True)
        )


def test_one_worker_leaves_the_groups_as_they_are() -> None:
    lengths = np.array([9, 9, 9, 9, 9, 9, 9, 9, 3, 3], dtype=np.int64)
    groups = plan_groups(lengths, overhead_tokens=1)
    parts = balance_groups(groups, lengths, workers=1)
    assert [part.tolist() for part in parts] == [group.tolist() for group in groups]

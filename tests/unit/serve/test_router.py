"""The router: shares are kept, keys stick, and no order of changes leaves it inconsistent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from thinfer.serve.errors import (
    InvalidBodyError,
    UnknownVersionError,
    VersionInUseError,
)
from thinfer.serve.router import Router
from thinfer.serve.version import Version


@dataclass
class Named:
    """All that the router asks of a version."""

    name: str


def version(name: str) -> Version:
    return cast(Version, Named(name))


def router_of(*names: str) -> Router:
    router = Router(version(names[0]), rng=np.random.default_rng(0))
    for name in names[1:]:
        router.add(version(name))
    return router


def test_one_version_answers_everything() -> None:
    router = router_of("a")
    assert {router.choose().name, router.choose(key="k").name, router.choose(use="a").name} == {"a"}


def test_a_split_is_dealt_in_its_shares() -> None:
    router = router_of("a", "b")
    router.set_split({"a": 0.8, "b": 0.2}, shadow=None)
    rows = 20_000
    for drawn in (
        Counter(router.choose().name for _ in range(rows)),
        Counter(router.choose(key=f"user {number}").name for number in range(rows)),
    ):
        # chi-square with one degree of freedom; 10.8 is passed once in a thousand
        expected = {"a": 0.8 * rows, "b": 0.2 * rows}
        chi = sum((drawn[name] - want) ** 2 / want for name, want in expected.items())
        assert chi < 10.8


def test_a_key_stays_with_its_version_and_a_growing_arm_only_takes_over() -> None:
    router = router_of("a", "b")
    keys = [f"user {number}" for number in range(500)]
    homes = []
    for share in (0.1, 0.1, 0.3, 0.7):
        router.set_split({"a": 1 - share, "b": share}, shadow=None)
        homes.append([router.choose(key=key).name for key in keys])
    assert homes[0] == homes[1]
    for before, after in pairwise(homes[1:]):
        assert all(now == "b" for was, now in zip(before, after, strict=True) if was == "b")


def test_a_request_may_name_its_version() -> None:
    router = router_of("a", "b")
    assert router.choose(use="b").name == "b"
    with pytest.raises(UnknownVersionError):
        router.choose(use="c")


def test_a_switch_gives_back_what_nobody_needs_and_a_rollback_nothing() -> None:
    router = router_of("a", "b", "c")
    assert router.switch("b") is None
    left = router.switch("c")
    assert left is not None
    assert left.name == "a"
    assert router.previous is not None
    assert router.switch(router.previous.name) is None
    assert router.current.name == "b"


@pytest.mark.parametrize(
    ("shares", "shadow"),
    [
        ({"a": 0.5, "b": 0.4}, None),
        ({"a": 1.0, "b": 0.0}, None),
        ({"a": 1.5, "b": -0.5}, None),
        ({"a": float("nan")}, None),
        ({"a": 1.0}, "a"),
        ({}, None),
    ],
)
def test_an_impossible_split_changes_nothing(shares: dict[str, float], shadow: str | None) -> None:
    router = router_of("a", "b")
    with pytest.raises(InvalidBodyError):
        router.set_split(shares, shadow=shadow)
    with pytest.raises(UnknownVersionError):
        router.set_split({"x": 1.0}, shadow=None)
    assert dict(router.split) == {"a": 1.0}


def test_what_answers_cannot_be_dropped() -> None:
    router = router_of("a", "b", "c")
    router.set_split({"a": 0.5, "b": 0.5}, shadow="c")
    for name in "abc":
        with pytest.raises(VersionInUseError):
            router.drop(name)
    router.switch("a")
    assert router.drop("b").name == "b"


class Changes(RuleBasedStateMachine):
    """Any order of switches, splits, stops and drops."""

    def __init__(self) -> None:
        super().__init__()
        self.router = router_of("v0")
        self.count = 1

    def names(self) -> list[str]:
        return list(self.router.loaded)

    @rule()
    def add(self) -> None:
        if len(self.names()) < 5:
            self.router.add(version(f"v{self.count}"))
            self.count += 1

    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        left = self.router.switch(data.draw(st.sampled_from(self.names())))
        if left is not None:
            self.router.drop(left.name)

    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from(self.names()), min_size=1, unique=True))
        rest = [name for name in self.names() if name not in names]
        shadow = data.draw(st.sampled_from([None, *rest]))
        self.router.set_split(dict.fromkeys(names, 1 / len(names)), shadow=shadow)

    @rule(data=st.data())
    def stop_arm(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.router.split)))
        if name != self.router.current.name:
            self.router.stop_arm(name)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.names()))
        try:
            self.router.drop(name)
        except VersionInUseError:
            assert (
                name in self.router.split
                or self.router.shadow is not None
                or (name == self.router.current.name)
            )

    @invariant()
    def everything_named_is_loaded(self) -> None:
        router = self.router
        loaded = router.loaded
        assert router.current.name in loaded
        assert router.previous is None or router.previous.name in loaded
        assert router.shadow is None or router.shadow.name in loaded
        assert router.shadow is None or router.shadow.name not in router.split
        assert set(router.split) <= set(loaded)
        assert sum(router.split.values()) == pytest.approx(1.0)
        assert router.choose().name in router.split
        assert router.choose(key="k").name in router.split


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)

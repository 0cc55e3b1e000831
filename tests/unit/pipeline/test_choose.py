import dataclasses
import random

import pytest

from thinfer.errors import InternalError
from thinfer.pipeline.choose import Entry, choose


def entry(name: str, speed: float, size: int = 100, **changes: object) -> Entry:
    base = Entry(
        name=name,
        texts_per_second=speed,
        size_bytes=size,
        macs=1000,
        clears_floor=True,
        is_sound=True,
        is_faster=True,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]  # names of fields


def test_the_fastest_that_clears_the_floor_is_chosen() -> None:
    entries = [entry("slow", 100), entry("fast", 200), entry("lossy", 400, clears_floor=False)]
    assert choose(entries).name == "fast"


def test_within_five_percent_the_smaller_is_chosen() -> None:
    assert choose([entry("fast", 1000, 90), entry("small", 951, 40)]).name == "small"
    assert choose([entry("fast", 1000, 90), entry("small", 949, 40)]).name == "fast"
    # Of two equally small ones the faster, and then the name: never the order of the list.
    assert choose([entry("b", 990, 40), entry("a", 1000, 40)]).name == "a"
    assert choose([entry("b", 1000, 40), entry("a", 1000, 40)]).name == "a"


def test_the_order_of_the_entries_does_not_matter() -> None:
    rng = random.Random(1)
    entries = [entry(f"c{i}", 1000 - i * 7, 100 - i) for i in range(12)]
    first = choose(entries).name
    for _ in range(20):
        rng.shuffle(entries)
        assert choose(entries).name == first


def test_where_none_clears_the_least_compressed_is_given() -> None:
    entries = [
        entry("narrow", 400, 20, clears_floor=False, macs=200),
        entry("dense-int8", 300, 40, clears_floor=False, macs=900),
        entry("dense-fp32", 100, 160, clears_floor=False, macs=900),
        entry("broken", 900, 500, clears_floor=False, macs=2000, is_sound=False),
    ]
    assert choose(entries).name == "dense-fp32"


def test_what_fails_parity_is_never_chosen() -> None:
    entries = [entry("wrong", 900, 10, is_sound=False), entry("right", 100)]
    assert choose(entries).name == "right"
    with pytest.raises(InternalError, match="torch form"):
        choose(entries[:1])


def test_where_none_is_faster_the_fastest_that_clears_is_given() -> None:
    entries = [
        entry("dense", 90, is_faster=False),
        entry("narrow", 99, 20, is_faster=False),
        entry("lossy", 300, clears_floor=False),
    ]
    assert choose(entries).name == "narrow"
    # One that is faster wins over a slower one, however small that is.
    assert choose([*entries, entry("good", 101, 900)]).name == "good"

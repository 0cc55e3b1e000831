"""The budget: a share over a sliding window, never more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thinfer.core.clock import ManualClock
from thinfer.serve.budget import FEWEST, PARTS, Budget

WINDOW_S = 60.0


def test_a_share_of_what_was_seen_may_go_on() -> None:
    budget = Budget(0.25, window_s=WINDOW_S, clock=ManualClock())
    budget.see(400)
    assert budget.take(30) == 30
    assert budget.take(100) == 70  # what is left of a hundred
    assert budget.take(1) == 0
    budget.see(4)
    assert budget.take(5) == 1


def test_none_and_all() -> None:
    for share, granted in ((0.0, 0), (1.0, 50)):
        budget = Budget(share, window_s=WINDOW_S, clock=ManualClock())
        budget.see(50)
        assert budget.take(50) == granted


def test_a_few_texts_have_the_allowance_of_twenty() -> None:
    budget = Budget(0.5, window_s=WINDOW_S, clock=ManualClock())
    for text in range(FEWEST):
        budget.see(1)
        assert budget.take(1) == (text < FEWEST // 2)


def test_what_leaves_the_window_is_forgotten() -> None:
    clock = ManualClock()
    budget = Budget(0.5, window_s=WINDOW_S, clock=clock)
    budget.see(100)
    assert budget.take(100) == 50
    clock.advance(WINDOW_S * (PARTS - 1) / PARTS)
    assert budget.take(1) == 0
    clock.advance(WINDOW_S / PARTS)
    budget.see(40)
    assert budget.take(40) == 20


@given(
    st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.floats(0.0, 30.0)), max_size=60),
)
def test_at_no_moment_more_than_the_share(
    share: float, steps: list[tuple[int, int, float]]
) -> None:
    clock = ManualClock()
    budget = Budget(share, window_s=WINDOW_S, clock=clock)
    part_s = WINDOW_S / PARTS
    log: list[tuple[int, int, int]] = []  # part, seen, sent
    for seen, wanted, pause_s in steps:
        clock.advance(pause_s)
        budget.see(seen)
        sent = budget.take(min(seen, wanted))
        assert 0 <= sent <= wanted
        now = int(clock.monotonic() // part_s)
        log.append((now, seen, sent))
        window = [item for item in log if item[0] > now - PARTS]
        allowed = share * max(FEWEST, sum(item[1] for item in window))
        if sent:
            assert sum(item[2] for item in window) <= allowed + 1e-6

"""The breaker's states on a clock that the test moves, and against a model of them."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from thinfer.core.clock import ManualClock
from thinfer.serve.breaker import Breaker, BreakerState, Pass

FAILURES, COOLDOWN_S = 3, 10.0


def make(clock: ManualClock) -> Breaker:
    return Breaker(failures=FAILURES, cooldown_s=COOLDOWN_S, clock=clock)


def state_of(breaker: Breaker) -> str:
    """The state by name, read anew each time."""
    return breaker.state.name


def granted(breaker: Breaker) -> Pass:
    leave = breaker.ask()
    assert leave is not None
    return leave


def open_it(breaker: Breaker) -> None:
    for _ in range(FAILURES):
        breaker.fail(granted(breaker))


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = make(ManualClock())
    for _ in range(5):
        for _ in range(FAILURES - 1):
            breaker.fail(granted(breaker))
        breaker.succeed(granted(breaker))
    assert state_of(breaker) == "CLOSED"
    open_it(breaker)
    assert state_of(breaker) == "OPEN"
    assert breaker.ask() is None


def test_after_the_cool_down_one_call_decides() -> None:
    clock = ManualClock()
    breaker = make(clock)
    open_it(breaker)
    clock.advance(COOLDOWN_S - 0.01)
    assert breaker.ask() is None
    clock.advance(0.01)
    trial = granted(breaker)
    assert state_of(breaker) == "HALF_OPEN"
    assert breaker.ask() is None  # one at a time
    breaker.fail(trial)
    assert state_of(breaker) == "OPEN"
    clock.advance(COOLDOWN_S)
    breaker.succeed(granted(breaker))
    assert state_of(breaker) == "CLOSED"
    breaker.fail(granted(breaker))
    assert state_of(breaker) == "CLOSED"  # it counts from nothing again


def test_a_trial_that_is_given_back_leaves_room_for_the_next() -> None:
    clock = ManualClock()
    breaker = make(clock)
    open_it(breaker)
    clock.advance(COOLDOWN_S)
    trial = granted(breaker)
    breaker.give_back(trial)
    breaker.succeed(granted(breaker))
    assert state_of(breaker) == "CLOSED"


def test_calls_from_before_a_change_of_state_change_nothing() -> None:
    clock = ManualClock()
    breaker = make(clock)
    old = [granted(breaker) for _ in range(2 * FAILURES)]
    for leave in old[:FAILURES]:
        breaker.fail(leave)
    clock.advance(COOLDOWN_S / 2)
    breaker.succeed(old[-1])  # late: it would close the breaker without a trial
    assert state_of(breaker) == "OPEN"
    breaker.fail(old[-2])  # late: it would make the cool-down longer
    clock.advance(COOLDOWN_S / 2)
    trial = granted(breaker)
    breaker.give_back(old[-3])
    assert breaker.ask() is None
    breaker.fail(old[-3])
    assert state_of(breaker) == "HALF_OPEN"
    breaker.succeed(trial)
    assert state_of(breaker) == "CLOSED"


class BreakerMachine(RuleBasedStateMachine):
    """Any order of calls, outcomes and waiting, beside a plain model of the three states."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.breaker = make(self.clock)
        self.state, self.failed, self.opened_s, self.era = BreakerState.CLOSED, 0, 0.0, 0
        self.live: list[tuple[int, Pass]] = []
        self.trial: Pass | None = None

    def enter(self, state: BreakerState) -> None:
        self.state, self.failed, self.trial = state, 0, None
        self.era += 1
        if state is BreakerState.OPEN:
            self.opened_s = self.clock.monotonic()

    @rule(seconds=st.sampled_from([0.1, 1.0, COOLDOWN_S]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        is_over = self.clock.monotonic() - self.opened_s >= COOLDOWN_S
        if self.state is BreakerState.OPEN and is_over:
            self.enter(BreakerState.HALF_OPEN)

    @rule()
    def ask(self) -> None:
        leave = self.breaker.ask()
        is_trial = self.state is BreakerState.HALF_OPEN
        may = self.state is BreakerState.CLOSED or (is_trial and self.trial is None)
        assert (leave is not None) == may
        if leave is not None:
            self.live.append((self.era, leave))
            self.trial = leave if is_trial else None

    @precondition(lambda self: bool(self.live))
    @rule(data=st.data(), outcome=st.sampled_from(["succeed", "fail", "give_back"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        era, leave = self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))
        getattr(self.breaker, outcome)(leave)
        if era != self.era:
            return
        if outcome == "give_back":
            self.trial = None
        elif outcome == "succeed":
            self.failed = 0
            if self.state is BreakerState.HALF_OPEN:
                self.enter(BreakerState.CLOSED)
        else:
            self.failed += 1
            if self.state is BreakerState.HALF_OPEN or self.failed >= FAILURES:
                self.enter(BreakerState.OPEN)

    @invariant()
    def states_agree(self) -> None:
        assert self.breaker.state is self.state


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_machine = BreakerMachine.TestCase

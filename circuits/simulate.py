"""What a policy does to an outage: the real circuit, on a virtual clock.

Nothing here sleeps and nothing is guessed: a `Breaker` with a clock of its own guards calls to a
dependency that a scenario describes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count
from random import Random

import attrs

from brama.telemetry import ConfigError, is_real, unknown

from .breaker import Breaker
from .circuit import Circuit
from .options import seconds, whole
from .permit import Permit
from .policy import Policy, check_policy
from .shared import Shared
from .state import State

__all__ = [
    "Call",
    "Change",
    "Response",
    "Scenario",
    "Simulation",
    "always_failing",
    "failing_for",
    "healthy",
    "intermittent",
    "simulate",
    "slow",
]


@attrs.frozen
class Response:
    """What a dependency answers.

    Attributes:
        failed: whether the call fails.
        takes: seconds until it answers.
    """

    failed: bool = False
    takes: float = 0.05


Answer = Callable[[float, int, Random], Response]

MOST_CALLS = 1_000_000
"""Of one simulation: each is kept."""

WIDEST = 10_000


@attrs.frozen
class Scenario:
    """A dependency and the calls that are made to it.

    Args:
        name: in a word or two.
        answer: a function ``(now, number, random) -> Response`` of the time of the call in
            seconds, its number, and a source of chance.
        every: seconds from one call to the next.
        lasts: seconds of the whole.
    """

    name: str
    answer: Answer = attrs.field(eq=False)
    every: float = 0.5
    lasts: float = 120.0

    def __attrs_post_init__(self) -> None:
        every, lasts = seconds("every", self.every), seconds("lasts", self.lasts)
        if lasts / every > MOST_CALLS:
            raise ConfigError(
                "every", f"at least lasts / {MOST_CALLS} ({lasts / MOST_CALLS:g} s)", every
            )
        if not callable(self.answer):
            raise ConfigError("answer", "a function (now, number, random) -> Response", self.answer)


def healthy(*, every: float = 0.5, lasts: float = 120.0) -> Scenario:
    """Everything works."""
    return Scenario("healthy", lambda _now, _number, _random: Response(), every, lasts)


def always_failing(*, every: float = 0.5, lasts: float = 120.0) -> Scenario:
    """Every call fails."""
    return Scenario(
        "always failing", lambda _now, _number, _random: Response(failed=True), every, lasts
    )


def slow(takes: float = 5.0, *, every: float = 0.5, lasts: float = 120.0) -> Scenario:
    """Every call succeeds, after `takes` seconds."""
    seconds("takes", takes)
    return Scenario("slow", lambda _now, _number, _random: Response(takes=takes), every, lasts)


def failing_for(
    duration: float, *, begins: float = 10.0, every: float = 0.5, lasts: float = 120.0
) -> Scenario:
    """An outage of `duration` seconds that begins after `begins` seconds."""
    seconds("duration", duration)

    def answer(now: float, _number: int, _random: Random) -> Response:
        return Response(failed=begins <= now < begins + duration)

    return Scenario(f"failing for {duration:g} s", answer, every, lasts)


def intermittent(rate: float = 0.2, *, every: float = 0.5, lasts: float = 120.0) -> Scenario:
    """A share of the calls fails, by chance."""
    if not is_real(rate) or not 0 <= rate <= 1:
        raise ConfigError("rate", "a number from 0 to 1", rate)

    def answer(_now: float, _number: int, random: Random) -> Response:
        return Response(failed=random.random() < rate)

    return Scenario(f"{rate:.0%} failing", answer, every, lasts)


@attrs.frozen
class Call:
    """One call of a simulation.

    Attributes:
        at: seconds from the beginning.
        outcome: ``"success"``, ``"failure"`` or ``"refused"``.
        probe: it was one.
        ended: when its answer came; `at` if it was refused.
    """

    at: float
    outcome: str
    probe: bool
    ended: float


@attrs.frozen
class Change:
    """A change of state.

    Attributes:
        at: seconds from the beginning.
        state: the new one.
        reason: why.
    """

    at: float
    state: State
    reason: str | None


@attrs.frozen
class Simulation:
    """What happened.

    Attributes:
        policy, scenario: what was simulated.
        calls: in the order of their beginning.
        changes: the changes of state, in order.
    """

    policy: Policy
    scenario: Scenario
    calls: tuple[Call, ...]
    changes: tuple[Change, ...]

    def count(self, outcome: str) -> int:
        """How many calls ended as ``"success"``, ``"failure"`` or ``"refused"``."""
        return sum(call.outcome == outcome for call in self.calls)

    @property
    def opened_at(self) -> float | None:
        """When the circuit opened first, in seconds; None if it did not."""
        return next((change.at for change in self.changes if change.state is State.OPEN), None)

    @property
    def closed_at(self) -> float | None:
        """When it closed last."""
        closed = [change.at for change in self.changes if change.state is State.CLOSED]
        return closed[-1] if closed else None

    def spans(self) -> tuple[tuple[float, float, State], ...]:
        """The stays in a state: from, to, which."""
        edges = [(0.0, self.policy.initial_state)]
        edges += [(change.at, change.state) for change in self.changes]
        ends = [at for at, _ in edges[1:]] + [self.scenario.lasts]
        return tuple(
            (at, end, state) for (at, state), end in zip(edges, ends, strict=True) if end > at
        )

    def text(self, width: int = 60) -> str:
        """A drawing of two lines: the state over time, and how the calls ended.

        Example:
            >>> policy = Policy(failure_threshold=3, expiry=20.0)
            >>> print(simulate(policy, failing_for(30.0, lasts=60.0)).text(30))
            state |CCCCCCOOOOOOOOOOOOOOOOOOOOCCCC|
            calls |sssssfrrrrrrrrrfrrrrrrrrrrssss|
        """
        if whole("width", width) > WIDEST:
            raise ConfigError("width", f"at most {WIDEST} characters", width)
        slot = self.scenario.lasts / width
        states = ""
        outcomes = ""
        spans = self.spans()
        for place in range(width):
            begin, end = place * slot, (place + 1) * slot
            shares: dict[State, float] = {}
            for at, until, state in spans:
                overlap = min(until, end) - max(at, begin)
                if overlap > 0:
                    shares[state] = shares.get(state, 0.0) + overlap
            states += LETTERS[max(shares, key=lambda state: shares[state])]
            seen = [call.outcome for call in self.calls if begin <= call.at < end]
            outcomes += next((letter for word, letter in WORST if word in seen), " ")
        return f"state |{states}|\ncalls |{outcomes}|"


LETTERS = {
    State.CLOSED: "C",
    State.OPEN: "O",
    State.HALF_OPEN: "H",
    State.FORCED_OPEN: "F",
    State.DISABLED: "D",
    State.METRICS_ONLY: "M",
}
WORST = (("failure", "f"), ("refused", "r"), ("success", "s"))


def simulate(policy: Policy, scenario: Scenario | Answer | str, *, seed: int = 0) -> Simulation:
    """What `policy` does in `scenario`: the same engine as in production, on a virtual clock.

    Example:
        >>> happened = simulate(Policy(failure_threshold=3, expiry=20.0), failing_for(30.0))
        >>> happened.count("failure"), happened.opened_at, happened.closed_at
        (4, 11.05, 52.05)

    Args:
        policy: the rules.
        scenario: the dependency and its callers: a `Scenario`, the name of one that needs no
            arguments (``"always_failing"``), or the `answer` function of one of your own.
        seed: of all chance: that of the scenario, and that of the policy's jitter.

    Raises:
        ConfigError: `policy` or `scenario` is none.
    """
    check_policy(policy)
    if isinstance(scenario, str):
        if scenario not in SCENARIOS:
            raise unknown("a scenario", scenario, tuple(SCENARIOS))
        scenario = SCENARIOS[scenario]()
    elif not isinstance(scenario, Scenario):
        scenario = Scenario("custom", scenario)
    return _Run(policy, scenario, seed).run()


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "healthy": healthy,
    "always_failing": always_failing,
    "slow": slow,
    "failing_for": lambda: failing_for(30.0),
    "intermittent": intermittent,
}


class _Run:
    """One simulation: a heap of what happens next."""

    def __init__(self, policy: Policy, scenario: Scenario, seed: int) -> None:
        self.policy = policy
        self.scenario = scenario
        self.random = Random(seed)
        self.now = 0.0
        self.calls: list[Call] = []
        self.changes: list[Change] = []
        self.order = count()
        self.todo: list[tuple[float, int, Callable[[], None]]] = []
        chance = Random(seed)
        shared = Shared(clock=lambda: self.now, wall=lambda: self.now, draw=chance.random)
        shared.bell = lambda _breaker: self._at(self.now, self._look)
        self.timer: float | None = None
        self.breaker = Breaker("simulated", None, policy, shared)
        self.breaker.open_gate()
        self.circuit = Circuit(self.breaker)

    def run(self) -> Simulation:
        for number, at in enumerate(self._times()):
            self._at(at, self._caller(number))
        while self.todo and self.todo[0][0] <= self.scenario.lasts:
            self.now, _, happen = heapq.heappop(self.todo)
            happen()
            self._note()
        for _, _, happen in sorted(self.todo, key=lambda entry: entry[:2]):
            settle = getattr(happen, "settle", None)
            if settle is not None:  # the answer comes after the end: nobody sees it
                settle()
        calls = sorted(self.calls, key=lambda call: call.at)
        return Simulation(self.policy, self.scenario, tuple(calls), tuple(self.changes))

    def _times(self) -> Iterator[float]:
        number = 0
        while (at := number * self.scenario.every) < self.scenario.lasts:
            yield at
            number += 1

    def _at(self, at: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self.todo, (at, next(self.order), happen))

    def _caller(self, number: int) -> Callable[[], None]:
        def call() -> None:
            permit = self.circuit.try_acquire()
            self._note()
            if permit is None:
                self.calls.append(Call(self.now, "refused", False, self.now))
                return
            probe = self.breaker.state is State.HALF_OPEN
            response = self.scenario.answer(self.now, number, self.random)
            self._at(self.now + response.takes, _Ending(self, permit, response, self.now, probe))

        return call

    def _look(self) -> None:
        """Do as the connection actor: look when the bell has rung and when something is due."""
        if self.timer is not None and self.now >= self.timer:
            self.timer = None
        wait = self.breaker.tick()
        self._note()
        if wait is not None and self.timer != self.now + wait:
            self.timer = self.now + wait
            self._at(self.timer, self._look)

    def _note(self) -> None:
        for record in self.breaker.pending():
            if record.events[0] == "state_change":
                new: State = record.data["new_state"]
                self.changes.append(Change(record.monotonic, new, record.data["reason"]))
            record.published = True


class _Ending:
    """The answer to a call."""

    def __init__(
        self, run: _Run, permit: Permit, response: Response, began: float, probe: bool
    ) -> None:
        self.run = run
        self.permit = permit
        self.response = response
        self.began = began
        self.probe = probe

    def __call__(self) -> None:
        failed = self.response.failed
        self.permit.failure("simulated failure") if failed else self.permit.success()
        outcome = "failure" if failed else "success"
        self.run.calls.append(Call(self.began, outcome, self.probe, self.run.now))

    def settle(self) -> None:
        self.permit.ignore()

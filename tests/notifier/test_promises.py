"""A subscription against a model of its promises, in every order of offers, failures and kills."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from brama.circuits import Event, Severity
from brama.notifier import Options, Subscription, inline
from brama.notifier.target import Target

TRIES = 2


class Promises(RuleBasedStateMachine):
    """What the deliverer holds is `hand`; `again` is what has to come next, as it was."""

    @initialize(
        overflow=st.sampled_from(["drop_oldest", "drop_newest", "coalesce"]),
        handler=st.sampled_from([print, inline(print)]),
    )
    def begin(self, overflow: str, handler: object) -> None:
        options = Options(backlog=3, overflow=overflow, max_redeliveries=TRIES - 1)
        self.subscription = Subscription(1, Target(print, handler, "h"), options)
        self.offered = self.critical = self.told = self.handled = self.n = 0
        self.last: dict[bool, int] = {True: 0, False: 0}
        self.hand: Event | None = None
        self.again: Event | None = None
        self.failures = 0

    @rule(critical=st.booleans(), connection=st.sampled_from("ab"))
    def offer(self, critical: bool, connection: str) -> None:
        self.offered += 1
        self.critical += critical
        event = Event(
            event="state_change" if critical else "failure",
            connection=connection,
            scope=None,
            timestamp=datetime(2026, 1, 1, tzinfo=UTC),
            monotonic=0.0,
            epoch=1,
            seq=self.critical if critical else None,
            event_id=str(self.offered),
            severity=Severity.INFO,
            data={},
        )
        self.subscription.offer(event)

    @precondition(lambda self: self.hand is None)
    @rule()
    def take(self) -> None:
        self.judge(self.subscription.take())

    @precondition(lambda self: self.hand is not None)
    @rule()
    def handled_and_next(self) -> None:
        self.succeed()
        self.judge(self.subscription.next())

    @precondition(lambda self: self.hand is not None)
    @rule()
    def handled_and_rest(self) -> None:
        self.succeed()
        assert self.subscription.finish() == bool(self.subscription.queued or self.gap_waits())

    @precondition(lambda self: self.hand is not None)
    @rule()
    def fail(self) -> None:
        assert self.hand is not None
        self.failures += 1
        comes = self.hand.critical and self.failures < TRIES
        self.again, self.hand = self.hand if comes else None, None
        self.subscription.failed(ValueError())

    @precondition(lambda self: self.hand is not None)
    @rule()
    def kill_the_deliverer(self) -> None:
        assert self.hand is not None
        self.again, self.hand = self.hand if self.hand.critical else None, None
        self.subscription.pause()

    def succeed(self) -> None:
        assert self.hand is not None
        self.handled += self.hand.event != "gap"
        self.hand = None

    def judge(self, event: Event | None) -> None:
        """What is delivered next is what was promised."""
        self.hand = event
        again, self.again = self.again, None
        if again is not None:
            assert event is not None
            assert (event.event_id, event.n) == (again.event_id, again.n)
            assert event.redelivered
            return
        self.failures = 0
        if event is None:
            assert self.subscription.queued == 0
            return
        self.n += 1
        assert (event.n, event.redelivered) == (self.n, False)
        if event.event == "gap":
            self.told += event.data["lost"]
            return
        number = event.seq if event.critical else int(event.event_id)
        assert number is not None
        if event.critical:
            assert number == self.last[True] + 1  # never one is missing
        assert number > self.last[event.critical]
        self.last[event.critical] = number

    def gap_waits(self) -> bool:
        return self.subscription.waits and not self.subscription.queued

    @invariant()
    def nothing_is_lost_in_silence(self) -> None:
        if not hasattr(self, "subscription"):
            return
        one = self.subscription
        gap = one._gap is not None and one._current is one._gap
        waiting = one.queued - gap
        given_up_gaps = one.dropped + self.handled + waiting - self.offered
        # A gap over which the handler failed counts as one more that is lost; nothing else differs.
        assert 0 <= given_up_gaps <= one._gaps
        assert one.queued <= 3 + self.critical + 2


Promises.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPromises = Promises.TestCase

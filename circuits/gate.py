"""How threads come into a breaker and leave it: what must be done outside of its lock.

Everything that users gave us (expiry functions, conditions of their own) and everything that wakes
others happens here, after the lock is released.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from brama.telemetry import ConfigError, capture

from .classify import ask
from .failure import said
from .generation import Meter
from .machine import JUDGED
from .options import seconds
from .outcome import Outcome
from .settlement import Settlement
from .state import State

__all__ = ["Gate"]

logger = logging.getLogger("brama.circuits")

RING, REST = 1, 2

T = TypeVar("T")


class Gate(Settlement):
    """A machine that any thread may enter."""

    __slots__ = ()

    def _order(
        self, apply: Callable[[float], None], *, ring: bool = False, ours: bool = False
    ) -> None:
        """Look at the clock and `apply` under the lock, then do what is to be done outside.

        Args:
            ring: whether the actor of a circuit that is not closed is to look in any case.
            ours: whether this is our own loop, on which no code of users runs.

        Inside a locked section of this very thread it is left to whoever leaves that.
        """
        shared = self.shared
        if self.lock._is_owned():
            shared.later(partial(Gate._order, self, apply, ring=ring))
            return
        if shared.leaked:
            shared.settle(ours=ours)
        if not self.registered:
            shared.revive(self)
        now = shared.clock()
        with self.lock:
            self._look_at_clock(now)
            apply(now)
            work = self._work()
            if ring and self.state is not State.CLOSED:
                work |= RING
        if work:
            self._do(work, ours=ours)
        if shared.asked:
            shared.settle(ours=ours)

    def _read(self, reading: Callable[[float], T]) -> T:
        """What `reading` finds under the lock; inside a locked section it reads what there is."""
        shared = self.shared
        if shared.leaked:
            shared.settle()
        now = shared.clock()
        with self.lock:
            found = reading(now)
        if shared.asked:
            shared.settle()
        return found

    def _work(self) -> int:
        """What is left to be done once the lock is released; 0 is nothing."""
        work = 0
        log = self.log
        if log is not None and not log.rung and log.records:  # as `_unrung`
            log.rung = True
            work = RING
        rare = self._rare
        if rare is not None and (
            rare.asked is not None or rare.wake or (rare.outcomes and not rare.watching)
        ):
            work |= REST
        return work

    def _do(self, work: int, *, ours: bool = False) -> None:
        """Do it. On our own loop (`ours`) no code of users is called."""
        if work & REST:
            if self._rare is not None and self._rare.asked is not None:
                work |= self._ask_expiry(ours=ours)
            with self.lock:
                wakes = self._wakes()
            for wake in wakes:
                wake()
            if not ours:
                self._show_outcomes()
        if work & RING:
            self.shared.bell(self)

    def _wakes(self) -> list[Callable[[], object]]:
        rare = self._rare
        if rare is None or not rare.wake:
            return []
        rare.wake = False
        wakes, rare.waiters = rare.waiters or [], None
        return wakes

    # Who waits for the verdict of the probes

    def enlist(self, wake: Callable[[], object]) -> float | None:
        """Have `wake` called once when there may be a place for one more probe, or no more probes.

        Returns:
            Seconds until the oldest probe is given up; None if the circuit is not half-open, or
            if this thread, inside a locked section, must not wait for anybody.
        """
        now = self.shared.clock()
        if self.lock._is_owned():
            return None
        left: float | None = None
        with self.lock:
            if self.state is State.HALF_OPEN:
                rare = self._have_rare()
                rare.waiters = [*(rare.waiters or ()), wake]
                left = self._retry_after(now)
        if self.shared.asked:
            self.shared.settle()
        return left

    def dismiss(self, wake: Callable[[], object]) -> None:
        """Call `wake` no more."""
        if self.lock._is_owned():
            self.shared.then(partial(self.dismiss, wake))
            return
        with self.lock:
            rare = self._rare
            if rare is not None and rare.waiters and wake in rare.waiters:
                rare.waiters.remove(wake)
        if self.shared.asked:
            self.shared.settle()

    # The user's expiry function

    def _ask_expiry(self, *, ours: bool) -> int:
        """Let the user's function say how long the circuit stays open; its events go out then."""
        with self.lock:
            rare = self._rare
            asked = None if rare is None else rare.asked
            if rare is None or asked is None:
                return 0
            rare.asked = None
        generation, attempt, outcome = asked
        wait: float | None = None
        try:
            if not ours:
                wait = self._answer(attempt, outcome)
        finally:
            with self.lock:
                rare = self._rare
                if wait is not None and self.current is generation:
                    self._retime(self._since + wait)
                    if rare is not None and rare.cause is not None:
                        rare.cause = (rare.cause[0], attempt, wait)
                    if rare is not None and rare.held is not None:
                        rare.held[1]["retry_after"] = wait
                self._release_held()
                ring = RING if self._unrung() or wait is not None else 0
        return ring

    def _answer(self, attempt: int, outcome: Outcome) -> float | None:
        strategy: Any = self.policy.expiry_strategy
        try:
            answer = strategy(attempt, outcome)
            if answer is None:
                return None
            if isinstance(answer, timedelta):
                answer = answer.total_seconds()
            return seconds("the answer of expiry_strategy", answer)
        except ConfigError as error:
            logger.error("%s; the circuit stays open for %s s", error, self.policy.expiry)
        except Exception:
            logger.exception(
                "%r raised; the circuit stays open for %s s", strategy, self.policy.expiry
            )
        return None

    # The user's own conditions

    def _show_outcomes(self) -> None:
        """Show them the outcomes, in order; one thread at a time, the others leave theirs to it."""
        while True:
            with self.lock:
                rare = self._rare
                if rare is None or rare.watching or not rare.outcomes:
                    return
                rare.watching = True
                meter, outcome = rare.outcomes.popleft()
            why: Any = None
            try:
                why = _verdict(meter, outcome)
            finally:
                now = self.shared.clock()
                with self.lock:
                    rare = self._have_rare()
                    rare.watching = False
                    if meter is self.current and self.state in JUDGED:
                        self._heed(why, outcome, now)
                    work = self._work() & ~REST
                    if rare.asked is not None:
                        work |= REST
            if work & REST:
                work |= self._ask_expiry(ours=False)
            if work & RING:
                self.shared.bell(self)

    def _heed(self, why: Any, outcome: Outcome, now: float) -> None:
        if why:
            text = why if isinstance(why, str) else "a condition of the user's own"
            if self.state is State.CLOSED:
                self._failures = self._failure_count()
                self._trip(text, now, said(outcome), outcome, capture())
            else:
                self._exceed(text, outcome.reason, now)


def _verdict(meter: Meter, outcome: Outcome) -> Any:
    """What the conditions say of an outcome: the first answer that is true. Each hears of it."""
    watchers = meter.watchers
    if watchers is None:
        made = [ask(lambda trip: trip.watch(), trip) for trip in meter.trips]
        watchers = meter.watchers = [watcher for watcher in made if callable(watcher)]
    answers = [ask(partial(_answer, watcher), outcome) for watcher in watchers]
    return next(filter(None, answers), None)


def _answer(watcher: Callable[[Outcome], Any], outcome: Outcome) -> str | bool:
    """What a condition answers; whether that is true may be code of the user's, too."""
    answer = watcher(outcome)
    return answer if isinstance(answer, str) else bool(answer)

"""Judges of a closed circuit: pure arithmetic over the outcomes of its calls.

A judge is never told of a success that was fast: the breaker counts those without a lock, and a
judge reads the count when something happens that may open the circuit. That is exact, because

*  in a window of calls the share of failures rises with a failure only, or at the one success
   that makes the calls enough to be judged; a judge is *armed* while that one may come;
*  in a window of time it also rises when old calls are forgotten; `Judge.until` says when, and
   whoever settles a call after that looks first.

Positions and buckets take the place of a ring of outcomes: a window of 10 000 calls weighs what
its failures weigh.

Threads: none of their own; every method under the lock of the breaker.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right, insort
from collections.abc import Iterable
from math import inf
from typing import Any

from .trip import AnyOf, ConsecutiveFailures, CountWindow, TimeWindow, Trip

__all__ = ["Judge", "judges_of"]

ALWAYS, NEVER = -inf, inf


class Judge:
    """What all judges have in common: the counts behind one stay in closed.

    Every method gets `successes`, the successes of the present generation so far.

    Attributes:
        until: a call that succeeds at or after this time must be told of; `ALWAYS` while armed.
        carried: outcomes of earlier generations that still count: the policy was changed.
        failed, hung: failures so far; calls under way that count as slow already.
    """

    __slots__ = ("carried", "failed", "hung", "until")

    def __init__(self) -> None:
        self.until = NEVER
        self.carried = 0
        self.failed = 0
        self.hung = 0

    def advance(self, successes: int, now: float) -> None:
        """It is `now`; `successes` do not yet include the call that is being settled."""

    def success(self, successes: int, now: float, *, slow: bool) -> str | None:
        """A call succeeded, and is counted in `successes`; why the circuit opens, or None."""
        raise NotImplementedError

    def failure(self, successes: int, now: float, *, slow: bool) -> str | None:
        """A call failed; why the circuit opens, or None."""
        raise NotImplementedError

    def hang(self, successes: int, now: float) -> tuple[Any, str | None]:
        """A call under way is slow by now; a ticket for `settle`, and why the circuit opens."""
        raise NotImplementedError

    def settle(self, ticket: Any, failed: bool | None, successes: int, now: float) -> str | None:
        """That call has ended; None is neutral. If it succeeded, `successes` include it."""
        raise NotImplementedError

    def content(self, successes: int, now: float) -> tuple[int, int, int] | None:
        """Calls, failures and slow calls in the window at `now`; None without one. A pure look."""
        return None

    def rebase(self, successes: int) -> None:
        """The generation ends with `successes`, the judge stays: the next begins with none."""
        self.carried += successes + self.failed
        self.failed = 0

    def resume(self, failures: int, successes: int) -> None:
        """So many failures in a row, the last after `successes`, were counted before this judge."""


class Row(Judge):
    """Judges failures in a row, and slow calls in a row."""

    __slots__ = ("failures", "row", "seen", "slow_ended", "slow_row", "slow_seen")

    def __init__(self, trip: ConsecutiveFailures) -> None:
        super().__init__()
        self.failures = trip.failures
        self.row = 0
        self.seen = 0  # successes when the last failure was counted
        self.slow_row = 0
        self.slow_ended = 0  # slow calls that have ended
        self.slow_seen = 0  # fast calls that had ended when the last slow one was counted

    def success(self, successes: int, now: float, *, slow: bool) -> str | None:
        return self._slow(successes, 1) if slow else None

    def failure(self, successes: int, now: float, *, slow: bool) -> str | None:
        self.failed += 1
        why = self._failure(successes)
        return why or (self._slow(successes, 1) if slow else None)

    def _failure(self, successes: int) -> str | None:
        self.row = self.row + 1 if successes == self.seen else 1
        self.seen = successes
        return f"{self.row} failures in a row" if self.row >= self.failures else None

    def _slow(self, successes: int, ended: int) -> str | None:
        self.slow_ended += ended
        fast = successes + self.failed - self.slow_ended
        self.slow_row = self.slow_row + 1 if fast == self.slow_seen else 1
        self.slow_seen = fast
        return f"{self.slow_row} slow calls in a row" if self.slow_row >= self.failures else None

    def hang(self, successes: int, now: float) -> tuple[Any, str | None]:
        self.hung += 1
        return None, self._slow(successes, 0)

    def settle(self, ticket: Any, failed: bool | None, successes: int, now: float) -> str | None:
        self.hung -= 1
        if failed is None:
            return None
        self.slow_ended += 1
        if not failed:
            return None
        self.failed += 1
        return self._failure(successes)

    def resume(self, failures: int, successes: int) -> None:
        self.row, self.seen = failures, successes

    def rebase(self, successes: int) -> None:
        self.row = self.row if successes == self.seen else 0
        fast = successes + self.failed - self.slow_ended
        self.slow_row = self.slow_row if fast == self.slow_seen else 0
        self.seen = self.slow_seen = self.slow_ended = 0
        super().rebase(successes)


class LastCalls(Judge):
    """Judges the share of failures, and of slow calls, among the last calls.

    Each call has a position: how many had ended with it. The window holds the positions of the
    failures and of the slow calls; those before its edge fall out.
    """

    __slots__ = ("failures", "minimum", "rate", "size", "slow_rate", "slows")

    def __init__(self, trip: CountWindow, slow_rate: float) -> None:
        super().__init__()
        self.size = trip.size
        self.rate = trip.rate
        self.minimum = trip.minimum
        self.slow_rate = slow_rate
        # Lists: two empty deques would weigh more than the rest of an idle circuit.
        self.failures: list[int] = []
        self.slows: list[int] = []

    def _ended(self, successes: int) -> int:
        return self.carried + successes + self.failed + self.hung

    def success(self, successes: int, now: float, *, slow: bool) -> str | None:
        crossed = self._crossed(successes)
        if slow:
            self.slows.append(self._ended(successes))
        return crossed or self._judge(successes)

    def failure(self, successes: int, now: float, *, slow: bool) -> str | None:
        crossed = self._crossed(successes)
        self.failed += 1
        ended = self._ended(successes)
        self.failures.append(ended)
        if slow:
            self.slows.append(ended)
        return crossed or self._judge(successes)

    def hang(self, successes: int, now: float) -> tuple[Any, str | None]:
        crossed = self._crossed(successes)
        self.hung += 1
        ended = self._ended(successes)
        self.slows.append(ended)
        return ended, crossed or self._judge(successes)

    def settle(self, ticket: Any, failed: bool | None, successes: int, now: float) -> str | None:
        self.hung -= 1
        if failed is None:
            if ticket in self.slows:
                self.slows.remove(ticket)
        elif failed:
            self.failed += 1
            insort(self.failures, ticket)
        return self._judge(successes)

    def _crossed(self, successes: int) -> str | None:
        """Whether calls that passed without a word have completed what an armed judge awaits."""
        if self.until == ALWAYS and self._ended(successes) >= self.minimum:
            return self._why(self.minimum)
        return None

    def _judge(self, successes: int) -> str | None:
        ended = self._ended(successes)
        edge = ended - self.size
        for positions in (self.failures, self.slows):
            if positions and positions[0] <= edge:
                del positions[: bisect_right(positions, edge)]
        calls = min(ended, self.size)
        if calls >= self.minimum:
            self.until = NEVER
            return self._why(calls)
        self.until = ALWAYS if self._why(self.minimum) else NEVER
        return None

    def _why(self, calls: int) -> str | None:
        return judged(calls, len(self.failures), len(self.slows), self.rate, self.slow_rate)

    def content(self, successes: int, now: float) -> tuple[int, int, int]:
        ended = self._ended(successes)
        edge = ended - self.size
        failures, slows = (
            len(positions) - bisect_right(positions, edge)
            for positions in (self.failures, self.slows)
        )
        return min(ended, self.size), failures, slows


class LastSeconds(Judge):
    """Judges the share of failures, and of slow calls, among the calls of the last seconds.

    Time is cut into buckets of equal width. The successes since the last look belong to the
    bucket of that look: whoever settles a call after its end looks first.
    """

    __slots__ = (
        "armed",
        "bucket",
        "buckets",
        "calls",
        "counts",
        "failures",
        "minimum",
        "rate",
        "seen",
        "slow_rate",
        "slows",
        "width",
    )

    def __init__(self, trip: TimeWindow, slow_rate: float) -> None:
        super().__init__()
        self.until = ALWAYS  # the first call opens the first bucket
        self.width = trip.width
        self.buckets = trip.buckets
        self.rate = trip.rate
        self.minimum = trip.minimum
        self.slow_rate = slow_rate
        self.armed = False
        self.bucket: int | None = None  # number of the present one, from the clock's zero
        self.seen = 0  # successes at the last look
        self.calls = self.failures = self.slows = 0  # in the whole window
        # Three numbers for each bucket: calls, failures, slow calls. Made by the first call.
        self.counts: array[int] = array("q")

    def advance(self, successes: int, now: float) -> None:
        # The only rule that says which bucket a time is in: where `until` is rounded the other way,
        # somebody looks once too often.
        number = int(now // self.width)
        present = self.bucket
        if present is None:
            self.counts = array("q", bytes(8 * 3 * self.buckets))
        else:
            self._add(present, successes - self.seen, 0, 0)
            number = max(number, present)  # the clock was read before the lock was taken
            for passed in range(present + 1, min(number, present + self.buckets) + 1):
                self._forget(passed)
        self.seen = successes
        self.bucket = number
        self.until = ALWAYS if self.armed else (number + 1) * self.width

    def _add(self, bucket: int, calls: int, failures: int, slows: int) -> None:
        at = bucket % self.buckets * 3
        self.counts[at] += calls
        self.counts[at + 1] += failures
        self.counts[at + 2] += slows
        self.calls += calls
        self.failures += failures
        self.slows += slows

    def _forget(self, bucket: int) -> None:
        at = bucket % self.buckets * 3
        calls, failures, slows = self.counts[at : at + 3]
        self._add(bucket, -calls, -failures, -slows)

    def success(self, successes: int, now: float, *, slow: bool) -> str | None:
        crossed = self._crossed(successes)
        return crossed or self._count(successes, 0, 0, int(slow))

    def failure(self, successes: int, now: float, *, slow: bool) -> str | None:
        crossed = self._crossed(successes)
        self.failed += 1
        return crossed or self._count(successes, 1, 1, int(slow))

    def hang(self, successes: int, now: float) -> tuple[Any, str | None]:
        crossed = self._crossed(successes)
        self.hung += 1
        return self.bucket, crossed or self._count(successes, 1, 0, 1)

    def settle(self, ticket: Any, failed: bool | None, successes: int, now: float) -> str | None:
        self.hung -= 1
        if failed is False:
            self.seen += 1  # it has been a call of the window since it was found to hang
        if self.bucket is not None and ticket > self.bucket - self.buckets:
            if failed is None:
                self._add(ticket, -1, 0, -1)
            elif failed:
                self._add(ticket, 0, 1, 0)
        self.failed += failed is True
        return self._count(successes, 0, 0, 0)

    def _count(self, successes: int, calls: int, failures: int, slows: int) -> str | None:
        assert self.bucket is not None, "advance() comes first"
        self._add(self.bucket, successes - self.seen + calls, failures, slows)
        self.seen = successes
        if self.calls >= self.minimum:
            self._arm(False)
            return self._why(self.calls)
        self._arm(self._why(self.minimum) is not None)
        return None

    def _arm(self, armed: bool) -> None:
        self.armed = armed
        if self.bucket is not None:
            self.until = ALWAYS if armed else (self.bucket + 1) * self.width

    def _crossed(self, successes: int) -> str | None:
        if self.armed and self.calls + successes - self.seen >= self.minimum:
            return self._why(self.minimum)
        return None

    def _why(self, calls: int) -> str | None:
        return judged(calls, self.failures, self.slows, self.rate, self.slow_rate)

    def content(self, successes: int, now: float) -> tuple[int, int, int]:
        present = self.bucket
        if present is None:
            return 0, 0, 0
        passed = min(max(int(now // self.width), present) - present, self.buckets)
        if passed == self.buckets:
            return 0, 0, 0
        found = [self.calls + successes - self.seen, self.failures, self.slows]
        for bucket in range(present + 1, present + passed + 1):
            at = bucket % self.buckets * 3
            for place in range(3):
                found[place] -= self.counts[at + place]
        calls, failures, slows = found
        return calls, failures, slows

    def rebase(self, successes: int) -> None:
        if self.bucket is not None:
            self._add(self.bucket, successes - self.seen, 0, 0)
        self.seen = 0
        super().rebase(successes)


class Any_(Judge):  # noqa: N801 - `Any` is taken
    """Judges by several judges; the first that finds a reason gives it."""

    __slots__ = ("parts",)

    def __init__(self, parts: Iterable[Judge]) -> None:
        super().__init__()
        self.parts = tuple(parts)
        self.until = min(part.until for part in self.parts)

    def _first(self, whys: Iterable[str | None]) -> str | None:
        found = None
        for why in whys:  # every part must hear of the call
            found = found or why
        self.until = min(part.until for part in self.parts)
        return found

    def advance(self, successes: int, now: float) -> None:
        for part in self.parts:
            part.advance(successes, now)
        self.until = min(part.until for part in self.parts)

    def success(self, successes: int, now: float, *, slow: bool) -> str | None:
        return self._first(part.success(successes, now, slow=slow) for part in self.parts)

    def failure(self, successes: int, now: float, *, slow: bool) -> str | None:
        self.failed += 1
        return self._first(part.failure(successes, now, slow=slow) for part in self.parts)

    def hang(self, successes: int, now: float) -> tuple[Any, str | None]:
        self.hung += 1
        found = [part.hang(successes, now) for part in self.parts]
        return tuple(ticket for ticket, _ in found), self._first(why for _, why in found)

    def settle(self, ticket: Any, failed: bool | None, successes: int, now: float) -> str | None:
        self.hung -= 1
        self.failed += failed is True
        return self._first(
            part.settle(own, failed, successes, now)
            for part, own in zip(self.parts, ticket, strict=True)
        )

    def content(self, successes: int, now: float) -> tuple[int, int, int] | None:
        found = (part.content(successes, now) for part in self.parts)
        return next((content for content in found if content is not None), None)

    def resume(self, failures: int, successes: int) -> None:
        for part in self.parts:
            part.resume(failures, successes)

    def rebase(self, successes: int) -> None:
        for part in self.parts:
            part.rebase(successes)
        super().rebase(successes)


def judged(calls: int, failures: int, slows: int, rate: float, slow_rate: float) -> str | None:
    """Why so many failures and slow calls among `calls` open a circuit, or None."""
    # Divided, not multiplied: 55 of 100 is the float 0.55, and 0.55 * 100 is more than 55.
    if failures and failures / calls >= rate:
        return f"{failures} of {calls} calls failed"
    if slows and slows / calls >= slow_rate:
        return f"{slows} of {calls} calls were slow"
    return None


def judges_of(trip: Trip, slow_rate: float) -> Judge | None:
    """A new judge for `trip`; None if all of its conditions are the user's own."""
    if isinstance(trip, ConsecutiveFailures):
        return Row(trip)
    if isinstance(trip, CountWindow):
        return LastCalls(trip, slow_rate)
    if isinstance(trip, TimeWindow):
        return LastSeconds(trip, slow_rate)
    if isinstance(trip, AnyOf):
        parts = [judges_of(condition, slow_rate) for condition in trip.conditions]
        known = [part for part in parts if part is not None]
        if known:
            return known[0] if len(known) == 1 else Any_(known)
    return None

"""A policy in words, and what is odd about it."""

from __future__ import annotations

import attrs

from .policy import Policy, check_policy
from .state import State
from .trip import AnyOf, ConsecutiveFailures, CountWindow, TimeWindow, Trip, least

__all__ = ["Finding", "explain", "lint"]


def explain(policy: Policy) -> str:
    """What `policy` does, in sentences.

    Example:
        >>> explain(Policy(failure_threshold=3, expiry=10.0))
        'Opens after 3 failures in a row. Stays open for 10 s. Then admits 1 probe at a time and \
closes after 1 success; 1 failure opens it again.'

    Raises:
        ConfigError: `policy` is none.
    """
    check_policy(policy)
    sentences = [f"Opens {_trip(policy.trip, policy)}."]
    sentences.append(_open_time(policy))
    probes = _many(policy.half_open_max_calls, "probe")
    sentences.append(
        f"Then admits {probes} at a time and closes after "
        f"{_many(policy.success_threshold, 'success')}; "
        f"{_many(policy.failure_threshold_half_open, 'failure')} "
        f"{'opens' if policy.failure_threshold_half_open == 1 else 'open'} it again."
    )
    if policy.half_open_timeout != policy.expiry:
        sentences.append(f"A probe is given up after {_s(policy.half_open_timeout)}.")
    if policy.half_open_wait:
        sentences.append(f"Others wait up to {_s(policy.half_open_wait)} for their verdict.")
    if policy.cancel_counts_after is not None:
        sentences.append(f"A call cancelled after {_s(policy.cancel_counts_after)} is a failure.")
    if policy.stall_after is not None:
        sentences.append(
            f"Failures during a pause of our own of {_s(policy.stall_after)} do not count."
        )
    if policy.initial_state is not State.CLOSED:
        sentences.append(f"Begins {policy.initial_state}.")
    return " ".join(sentences)


def _trip(trip: Trip, policy: Policy) -> str:
    slow = policy.slow_after
    if isinstance(trip, AnyOf):
        return ", or ".join(_trip(condition, policy) for condition in trip.conditions)
    if isinstance(trip, ConsecutiveFailures):
        text = f"after {_many(trip.failures, 'failure')} in a row"
        if slow is not None:
            text += f", or {_many(trip.failures, 'call')} in a row that take {_s(slow)} or more"
        return text
    if isinstance(trip, CountWindow):
        window = f"the last {trip.size} calls"
    elif isinstance(trip, TimeWindow):
        window = f"the calls of the last {_s(trip.seconds)}"
    else:
        return f"when {trip!r} says so"
    text = f"when {trip.rate:.0%} of {window} failed"
    if slow is not None:
        text += f" or {policy.slow_rate:.0%} of them took {_s(slow)} or more"
    return f"{text}, once there were {trip.minimum}"


def _open_time(policy: Policy) -> str:
    strategy = policy.expiry_strategy
    if callable(strategy):
        name = getattr(strategy, "__qualname__", repr(strategy))
        return f"Stays open for as long as {name} says."
    if strategy == "fixed":
        return f"Stays open for {_s(policy.expiry)}."
    text = (
        f"Stays open for {_s(policy.initial_expiry)} at first, {policy.backoff_factor:g} times as "
        f"long at each opening in a row, at most {_s(policy.max_expiry)}"
    )
    if policy.jitter:
        text += f", up to {policy.jitter:.0%} less at random"
    if policy.reset_after:
        text += f"; the row ends after {_s(policy.reset_after)} closed"
    return f"{text}."


def _many(number: int, noun: str) -> str:
    ending = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else ending}"


def _s(seconds: float) -> str:
    return f"{seconds:g} s"


@attrs.frozen
class Finding:
    """Something odd about a policy that is legal all the same.

    Attributes:
        option: the option that it is about.
        problem: what is odd, and what it comes to.
        advice: what to do.
    """

    option: str
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.option}: {self.problem}; {self.advice}"


def lint(policy: Policy) -> tuple[Finding, ...]:
    """What is odd about `policy`: legal, but seldom meant.

    Example:
        >>> [finding.option for finding in lint(Policy(jitter=0.5))]
        ['jitter']
        >>> lint(Policy())
        ()

    Raises:
        ConfigError: `policy` is none.
    """
    check_policy(policy)
    defaults = Policy()
    found: list[Finding] = []

    def find(option: str, problem: str, advice: str) -> None:
        found.append(Finding(option, problem, advice))

    if policy.expiry_strategy != "progressive":
        for option in ("backoff_factor", "jitter", "reset_after"):
            if getattr(policy, option) != getattr(defaults, option):
                find(
                    option,
                    f"has no effect with expiry_strategy={policy.strategy_name!r}",
                    "write expiry_strategy='progressive' or leave it out",
                )
        if policy.initial_expiry != policy.expiry:
            find(
                "initial_expiry",
                f"has no effect with expiry_strategy={policy.strategy_name!r}",
                "set expiry, or write expiry_strategy='progressive'",
            )
    elif policy.jitter == 0:
        find("jitter", "is 0: circuits that opened together probe together", "keep some")
    if policy.slow_after is None:
        if policy.slow_rate != defaults.slow_rate:
            find("slow_rate", "has no effect without slow_after", "set slow_after")
    else:
        if policy.half_open_timeout < policy.slow_after:
            find(
                "half_open_timeout",
                "is shorter than slow_after: slow probes are given up and never judged",
                "make it longer than slow_after",
            )
        if policy.slow_after >= policy.expiry:
            find(
                "slow_after",
                "is not shorter than expiry: calls hang for longer than the circuit stays open",
                "a few times the usual duration of a call is enough",
            )
    if policy.half_open_max_calls > policy.success_threshold:
        find(
            "half_open_max_calls",
            "is above success_threshold: the circuit closes before all probes have answered",
            "raise success_threshold",
        )
    if policy.half_open_wait > policy.half_open_timeout:
        find(
            "half_open_wait",
            "is above half_open_timeout: calls wait for probes that were given up",
            "wait no longer than half_open_timeout",
        )
    if not policy.record and policy.classify is None:
        find("record", "names nothing: no exception counts as a failure", "name some")
    for kind in policy.recorded_classes:
        if any(issubclass(kind, ignored) for ignored in policy.ignored_classes):
            find(
                "ignore",
                f"names {kind.__name__} or a base of it, which record names, too: it is neutral",
                "name it once",
            )
    if policy.initial_state is State.FORCED_OPEN:
        find("initial_state", "is forced_open: every call is refused", "close it when it is time")
    _lint_trip(policy.trip, policy, found)
    return tuple(found)


def _lint_trip(trip: Trip, policy: Policy, found: list[Finding]) -> None:
    if isinstance(trip, AnyOf):
        for condition in trip.conditions:
            _lint_trip(condition, policy, found)
    elif isinstance(trip, ConsecutiveFailures):
        if trip.failures == 1:
            found.append(
                Finding(
                    "failure_threshold",
                    "is 1: a single failure opens the circuit",
                    "two or more forgive one lost packet",
                )
            )
        if policy.slow_after is not None and policy.slow_rate != 1.0:
            found.append(
                Finding(
                    "slow_rate",
                    "has no effect with consecutive failures, which want slow calls in a row",
                    "use a CountWindow or a TimeWindow",
                )
            )
    elif isinstance(trip, CountWindow | TimeWindow) and least(trip.rate, trip.minimum) <= 1:
        found.append(
            Finding(
                "trip",
                f"judges {trip.minimum} calls at a rate of {trip.rate:g}: one failure opens it",
                "raise minimum or rate",
            )
        )

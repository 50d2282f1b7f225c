"""What the hook bus tells of circuits: each of the eight hooks of Akka's breakers, and more.

Akka's `CircuitBreakerTelemetry` has onOpen, onClose, onHalfOpen, onCallSuccess, onCallFailure,
onCallTimeoutFailure, onCallBreakerOpenFailure and stopped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio

import brama
from brama.circuits import Catalogue, Circuit, CircuitOpenError, Shared
from brama.circuits.classify import timed_out
from brama.circuits.testing import FakeClock
from brama.telemetry import attach, detach, hook_names, pools, watching

from .forms import FORMS

pytestmark = pytest.mark.requirement("telemetry:hook-bus")


class Heard(list[tuple[str, dict[str, Any], dict[str, Any]]]):
    """What was announced: name, measurements, metadata."""

    def __call__(self, event: str, measurements: Any, metadata: Any, _config: Any) -> None:
        self.append((event, dict(measurements), dict(metadata)))

    def of(self, event: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [(numbers, metadata) for name, numbers, metadata in self if name == event]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def system(clock: FakeClock) -> Iterator[brama.System]:
    system = brama.System(brama.Settings(clock=clock), name="hooks")
    yield system
    system.stop()


@pytest.fixture
def heard() -> Iterator[Heard]:
    pools.reset()  # other tests may have used up the names that are told apart
    heard = Heard()
    attach("heard", "brama.circuit.*", heard)
    yield heard
    detach("heard")


@pytest.fixture
def api(system: brama.System, heard: Heard) -> Circuit:
    return system.circuit("api", scope="shop", failure_threshold=1, expiry=10.0)


def announced(heard: Heard, new_state: str) -> tuple[Any, Any]:
    """The transition into `new_state`; the thread of the system tells of it."""
    ticks = threading.Event()
    for _ in range(2000):
        for numbers, metadata in heard.of(hook_names.CIRCUIT_TRANSITION):
            if metadata["new_state"] == new_state:
                return numbers, metadata
        ticks.wait(0.005)
    raise AssertionError(f"no transition to {new_state} in {heard}")


# The eight


def test_on_open(api: Circuit, heard: Heard) -> None:
    api.failure("Timeout")
    numbers, metadata = announced(heard, "open")
    assert numbers["failure_count"] == 1
    assert (metadata["connection"], metadata["scope"]) == ("api", "shop")
    assert (metadata["previous_state"], metadata["reason"]) == ("closed", "Timeout")


def test_on_half_open_and_on_close(api: Circuit, heard: Heard, clock: FakeClock) -> None:
    api.failure("Timeout")
    announced(heard, "open")
    clock.advance(10)
    assert api.call(int) == 0
    numbers, metadata = announced(heard, "half_open")
    assert (metadata["previous_state"], numbers["duration"]) == ("open", 10.0)
    _numbers, metadata = announced(heard, "closed")
    assert metadata["previous_state"] == "half_open"


def test_on_call_success_with_its_duration(api: Circuit, heard: Heard, clock: FakeClock) -> None:
    api.call(clock.advance, 0.25)
    ((numbers, metadata),) = heard.of(hook_names.CALL_SUCCEEDED)
    assert numbers["duration"] == 0.25
    assert numbers["system_time"] > 0
    assert metadata == {"connection": "api", "scope": "shop", "pool": "api", "state": "closed"}


def test_on_call_failure_with_its_duration(api: Circuit, heard: Heard, clock: FakeClock) -> None:
    def failing() -> None:
        clock.advance(0.5)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        api.call(failing)
    ((numbers, metadata),) = heard.of(hook_names.CALL_FAILED)
    assert numbers["duration"] == 0.5
    assert metadata["timed_out"] is False
    assert metadata["error_type"] == "ConnectionError"
    assert metadata["reason"] == "ConnectionError: gone"


def test_on_call_timeout_failure(api: Circuit, heard: Heard, clock: FakeClock) -> None:
    def failing() -> None:
        clock.advance(3)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        api.call(failing)
    ((numbers, metadata),) = heard.of(hook_names.CALL_FAILED)
    assert numbers["duration"] == 3.0
    assert metadata["timed_out"] is True


def test_on_call_breaker_open_failure(api: Circuit, heard: Heard) -> None:
    api.failure("Timeout")
    with pytest.raises(CircuitOpenError):
        api.call(int)
    ((_numbers, metadata),) = heard.of(hook_names.CALL_REFUSED)
    assert (metadata["connection"], metadata["state"]) == ("api", "open")
    assert metadata["reason"] == "Timeout"
    assert heard.of(hook_names.CALL_FAILED) == []


def test_stopped(system: brama.System, api: Circuit, heard: Heard) -> None:
    ((_numbers, metadata),) = heard.of(hook_names.CIRCUIT_REGISTERED)
    assert metadata == {"connection": "api", "scope": "shop", "pool": "api"}
    system.unregister("api", scope="shop")
    ((numbers, metadata),) = heard.of(hook_names.CIRCUIT_UNREGISTERED)
    assert numbers["system_time"] > 0
    assert metadata["reason"] == "unregistered"
    assert system.unregister("api", scope="shop") is False
    assert len(heard.of(hook_names.CIRCUIT_UNREGISTERED)) == 1


# Beyond them


def test_a_circuit_that_is_removed_for_being_idle_is_told_of() -> None:
    clock, heard = FakeClock(), Heard()
    shared = Shared(clock=clock)
    catalogue = Catalogue(shared)
    api = catalogue.circuit("api")
    clock.advance(100)
    attach("idle", hook_names.CIRCUIT_UNREGISTERED, heard)
    try:
        assert catalogue.remove_idle(api, 10.0)
    finally:
        detach("idle")
    ((_event, _numbers, metadata),) = heard
    assert (metadata["connection"], metadata["reason"]) == ("api", "idle")


def test_a_circuit_that_registers_again_by_its_use_is_told_of(
    system: brama.System, api: Circuit, heard: Heard
) -> None:
    guarded = api(lambda: 0)
    system.unregister("api", scope="shop")
    guarded()
    assert [metadata["connection"] for _, metadata in heard.of(hook_names.CIRCUIT_REGISTERED)] == [
        "api",
        "api",
    ]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_call_is_timed(
    form: Any, api: Circuit, heard: Heard, clock: FakeClock
) -> None:
    form(api, lambda: clock.advance(1))
    assert [numbers["duration"] for numbers, _ in heard.of(hook_names.CALL_SUCCEEDED)] == [1.0]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_failing_call_is_timed(
    form: Any, api: Circuit, heard: Heard, clock: FakeClock
) -> None:
    def failing() -> None:
        clock.advance(2)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        form(api, failing)
    assert [numbers["duration"] for numbers, _ in heard.of(hook_names.CALL_FAILED)] == [2.0]


def test_a_call_that_began_before_anybody_listened_has_no_duration(system: brama.System) -> None:
    heard = Heard()
    api = system.circuit("early")
    with api.guard():
        attach("late", "brama.circuit.call.*", heard)
    detach("late")
    ((_event, numbers, _metadata),) = heard
    assert "duration" not in numbers


def test_a_report_from_elsewhere_is_no_guarded_call(api: Circuit, heard: Heard) -> None:
    api.success()
    assert heard.of(hook_names.CALL_SUCCEEDED) == []


def test_calls_read_no_clock_while_nobody_listens() -> None:
    def clock() -> float:
        raise AssertionError("a closed call has read the clock")

    shared = Shared()
    api = Catalogue(shared).circuit("api")
    guarded = api(lambda: 0)
    guarded()
    shared.clock = clock
    guarded()
    with api.guard():
        pass
    assert api._breaker.current.in_flight == 0
    assert not watching.calls


@pytest.mark.parametrize(
    ("listens", "calls"),
    [
        ("brama.circuit.call.failed", True),
        ("brama.circuit.call.succeeded", True),
        ("brama.circuit.call.refused", False),
        ("brama.circuit.transition", False),
    ],
)
def test_calls_are_timed_only_for_those_who_hear_how_they_went(listens: str, calls: bool) -> None:
    attach("heard", listens, Heard())
    try:
        assert watching.calls is calls
    finally:
        detach("heard")
    assert watching.calls is False


class GatewayTimeout(Exception):
    """As many client libraries have one: no `TimeoutError`."""


@pytest.mark.parametrize(
    ("error", "reason", "expected"),
    [
        (TimeoutError(), None, True),
        (trio.TooSlowError(), None, True),
        (asyncio.CancelledError(), "cancelled after 5 s", True),
        (GatewayTimeout(), None, True),
        (ExceptionGroup("", [TimeoutError()]), None, True),
        (ExceptionGroup("", [TimeoutError(), OSError()]), None, False),
        (ConnectionError("Timeout"), "ConnectionError: Timeout", False),
        (None, "Timeout", True),
        (None, "timed out after 5 s", True),
        (None, "HTTP 503", False),
        (None, None, False),
    ],
    ids=repr,
)
def test_a_time_out_is_told_by_its_kind_or_else_by_its_reason(
    error: BaseException | None, reason: str | None, expected: bool
) -> None:
    assert timed_out(error, reason) is expected


def test_the_time_outs_of_the_clients_are_time_outs() -> None:
    import aiohttp
    import httpx
    import requests

    for error in (
        httpx.ReadTimeout(""),
        httpx.ConnectTimeout(""),
        requests.Timeout(),
        aiohttp.ServerTimeoutError(),
        aiohttp.ConnectionTimeoutError(),
    ):
        assert timed_out(error, None), error
    assert not timed_out(httpx.ConnectError(""), None)


def test_a_late_failure_is_no_probe_though_a_probe_has_its_number(
    api: Circuit, heard: Heard, clock: FakeClock
) -> None:
    late = api.try_acquire()
    api.open_circuit()
    clock.advance(api.policy.expiry)
    probe = api.try_acquire()
    assert late is not None
    assert probe is not None

    late.failure("late")
    probe.failure("again")

    told = heard.of(hook_names.CALL_FAILED)
    assert [metadata["probe"] for _, metadata in told] == [False, True]

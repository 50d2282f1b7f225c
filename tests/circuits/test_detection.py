"""What tells how a connection does without a guarded call."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Self

import aiohttp
import pytest
import trio

import brama
from brama.actors import kill
from brama.circuits import Breaker, Circuit, Policy, Shared
from brama.circuits.quality import ErrorShare, Hysteresis, Latency
from brama.circuits.sources import Watcher
from brama.notifier import inline
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
WITHIN = 10.0


@pytest.fixture
async def system(nursery) -> brama.System:
    system = brama.System(brama.Settings())
    await nursery.start(system.run)
    return system


def answering(function: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    """As an async function: a worker thread's time is not virtual."""

    async def answer() -> object:
        return function()

    return answer


def told(system: brama.System, *names: str) -> list[brama.Event]:
    events: list[brama.Event] = []
    system.subscribe(inline(events.append), events=list(names))
    return events


# Heartbeats


@requirement("DT-03")
async def test_a_peer_that_falls_silent_is_reported_within_misses_plus_one(system, autojump_clock):
    events = told(system, "heartbeat_missed", "circuit_opened")
    feed = system.circuit("feed", failure_threshold=1)
    heart = feed.heartbeat(every=5.0, misses=3)
    for _ in range(7):
        await trio.sleep(3.3)
        heart.beat()
    silent_since = trio.current_time()
    await trio.sleep(15)
    assert (events, heart.silent) == ([], False)
    await trio.sleep(5)
    assert [event.event for event in events] == ["heartbeat_missed", "circuit_opened"]
    assert events[0].monotonic - silent_since <= 3 * 5 + 5
    assert {event.data["reason"] for event in events} == {"heartbeat-missed"}


@requirement("DT-03")
async def test_a_peer_that_is_merely_slow_is_not_reported(system, autojump_clock):
    events = told(system, "heartbeat_missed", "failure")
    heart = system.circuit("feed").heartbeat(every=1.0, misses=3)
    for _ in range(20):
        await trio.sleep(2.9)
        heart.beat()
    assert events == []


async def test_each_interval_of_silence_is_a_failure_and_the_silence_one_event(
    system, autojump_clock
):
    events = told(system, "heartbeat_missed")
    feed = system.circuit("feed", failure_threshold=4)
    feed.heartbeat(every=1.0, misses=2)
    await trio.sleep(5.5)
    assert (feed.status().failures, feed.state) == (3, brama.State.CLOSED)
    await trio.sleep(1)
    assert (feed.state, len(events)) == (brama.State.OPEN, 1)


@requirement("DT-03")
async def test_a_beat_after_a_silence_closes_a_half_open_circuit(system, autojump_clock):
    events = told(system, "heartbeat_resumed")
    feed = system.circuit("feed", failure_threshold=1, expiry=10.0)
    heart = feed.heartbeat(every=1.0, misses=1)
    await trio.sleep(3.5)
    heart.beat()
    assert (feed.state, heart.silent) == (brama.State.OPEN, False)
    for _ in range(10):
        await trio.sleep(1)
        heart.beat()
    assert feed.state is brama.State.CLOSED
    assert len(events) == 1


async def test_beats_hide_no_failures_of_calls(system, autojump_clock):
    feed = system.circuit("feed", failure_threshold=3)
    heart = feed.heartbeat(every=1.0)
    for _ in range(3):
        feed.failure("Timeout")
        heart.beat()
        await trio.sleep(1)
    assert feed.state is brama.State.OPEN


@requirement("DT-03")
async def test_a_ping_beats_unless_it_raises_hangs_or_says_no(system, autojump_clock):
    feed = system.circuit("feed", failure_threshold=1)
    answer: list[object] = [None]

    async def ping() -> object:
        if answer[0] == "hang":
            await trio.sleep_forever()
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    heart = feed.heartbeat(every=2.0, misses=2, ping=ping, timeout=1.0)
    await trio.sleep(100)
    assert feed.status().failures == 0
    for bad in ("hang", OSError("gone"), False):
        answer[0] = bad
        await trio.sleep(6.5)
        assert (feed.state, heart.silent) == (brama.State.OPEN, True), bad
        answer[0] = None
        await trio.sleep(2)
        feed.reset_circuit()
        assert heart.silent is False


@requirement("DT-03")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"every": 0}, "every must be a number of seconds > 0"),
        ({"every": -1}, "every must be a number of seconds > 0"),
        ({"every": 1, "ping": int, "timeout": 1}, r"timeout must be less than every \(1.0 s\)"),
        ({"every": 1, "timeout": 0.5}, "left out without a ping"),
        ({"every": 1, "misses": 0}, "misses must be a whole number >= 1"),
        ({"every": 1, "ping": "host"}, "ping must be a function without arguments"),
    ],
)
def test_a_heartbeat_out_of_bounds_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        brama.System(brama.Settings()).circuit("feed").heartbeat(**options)


async def test_a_source_ends_when_it_is_closed_or_its_circuit_is_gone(system, autojump_clock):
    feed = system.circuit("feed")
    with feed.heartbeat(every=1.0):
        await trio.sleep(1)
        assert len(system.tree().find("circuits").children) == 1
    kept = feed.heartbeat(every=1.0)
    await trio.sleep(1)
    system.unregister("feed")
    await trio.sleep(2)
    assert kept.closed
    assert system.find("feed") is None, "a source does not register its circuit again"
    assert system.tree().find("circuits").children == ()
    assert len(system._sources) == 0


async def test_a_circuit_with_a_source_is_never_idle(system, autojump_clock):
    system.configure(cleanup_interval=1.0, inactive_threshold=10.0)
    heart = system.circuit("feed").heartbeat(every=100.0)
    await trio.sleep(60)
    assert len(system.circuits()) == 1
    heart.close()
    await trio.sleep(2)
    assert len(system.circuits()) == 0


async def test_a_killed_watcher_and_a_killed_supervisor_have_successors(system, autojump_clock):
    feed = system.circuit("feed", failure_threshold=1)
    feed.heartbeat(every=1.0, misses=2)
    await trio.sleep(0.5)
    for cell in list(system.actors.cells):
        if isinstance(cell.actor, Watcher):
            kill(cell.ref)
    await trio.sleep(0.5)
    kill(system._bells.supervisor)
    await trio.sleep(3)
    assert feed.state is brama.State.OPEN


def test_a_circuit_without_a_system_has_no_sources():
    circuit = Circuit(Breaker("feed", None, Policy(), Shared()))
    with pytest.raises(RuntimeError, match="make its circuit by a System"):
        circuit.heartbeat(every=1)


# Poll and compare


@requirement("DT-04")
async def test_a_change_between_polls_is_one_event_and_no_change_none(system, autojump_clock):
    events = told(system, "value_changed")
    mode = ["ON"]
    poll = system.circuit("turbine").poll(answering(lambda: mode[0]), every=10.0)
    await trio.sleep(65)
    assert (poll.value, events) == ("ON", [])
    mode[0] = "OFF"
    await trio.sleep(30)
    (event,) = events
    assert (event.data["previous"], event.data["current"]) == ("ON", "OFF")


@requirement("DT-04")
async def test_a_poll_that_raises_is_unknown_and_not_down(system, autojump_clock):
    events = told(system, "value_changed", "failure", "circuit_opened")

    async def read() -> str:
        if len(asked) in (2, 3):
            raise OSError("cable")
        return "ON"

    asked: list[int] = []

    async def count() -> str:
        asked.append(1)
        return await read()

    turbine = system.circuit("turbine", failure_threshold=1)
    poll = turbine.poll(count, every=1.0, up=lambda mode: mode == "ON")
    await trio.sleep(1.5)
    assert (poll.value, poll.unknown, poll.fault) == ("ON", 1, "OSError: cable")
    await trio.sleep(3)
    assert (poll.unknown, poll.fault, poll.polls, events) == (2, None, 5, [])


async def test_a_value_that_means_down_is_a_failure_each_time_and_up_a_success(
    system, autojump_clock
):
    mode = ["ON"]
    turbine = system.circuit("turbine", failure_threshold=3, expiry=30.0)
    turbine.poll(answering(lambda: mode[0]), every=1.0, up=lambda mode: mode == "ON")
    await trio.sleep(3.5)
    mode[0] = "OFF"
    await trio.sleep(3)
    status = turbine.status()
    assert (status.state, status.reason) == (brama.State.OPEN, "polled: OFF")
    mode[0] = "ON"
    await trio.sleep(31)
    assert turbine.state is brama.State.CLOSED


async def test_a_comparison_that_raises_is_logged_and_the_poll_goes_on(
    system, autojump_clock, caplog
):
    values = iter(range(100))
    poll = system.circuit("turbine").poll(
        answering(lambda: next(values)), every=1.0, same=lambda before, after: 1 / 0
    )
    await trio.sleep(4.5)
    assert poll.polls == 5
    assert "could not look" in caplog.text
    assert system.health().status == "ok"


async def test_what_is_no_plain_value_appears_as_text(system, autojump_clock):
    events = told(system, "value_changed")
    values = iter([{"a": 1}, 2.5, "x" * 1000, None])
    system.circuit("turbine").poll(answering(lambda: next(values)), every=1.0)
    await trio.sleep(3.5)
    assert [event.data["previous"] for event in events] == ["{'a': 1}", 2.5, "x" * 200]


@requirement("DT-04")
def test_a_poll_out_of_bounds_is_refused():
    circuit = brama.System(brama.Settings()).circuit("turbine")
    for options in ({"every": 0}, {"every": 1, "timeout": 2}, {"every": 1, "up": 5}):
        with pytest.raises(ConfigError):
            circuit.poll(int, **options)
    with pytest.raises(ConfigError, match="function must be"):
        circuit.poll("value", every=1)


# Quality


@requirement("DT-07")
async def test_slowness_is_one_event_until_it_is_below_the_lower_limit(system, autojump_clock):
    events = told(system, "quality_changed")
    quality = system.circuit("search").quality(upper=2.0, lower=1.0, window=60.0)

    async def minutes(number: int, duration: float) -> None:
        for _ in range(60 * number):
            quality.observe(duration)
            await trio.sleep(1)

    await minutes(3, 1.5)
    assert (events, quality.state) == ([], "ok")
    await minutes(3, 2.5)
    assert (len(events), quality.degraded) == (1, True)
    await minutes(3, 1.5)
    await minutes(3, 2.5)
    assert len(events) == 1
    await minutes(3, 0.5)
    assert (len(events), quality.state) == (2, "ok")
    first, second = events
    assert {key: first.data[key] for key in ("quality", "previous", "measure", "limit")} == {
        "quality": "degraded",
        "previous": "ok",
        "measure": "latency",
        "limit": 2.0,
    }
    assert (first.data["value"], second.data["limit"]) == (2.5, 1.0)


@requirement("DT-07")
async def test_lost_calls_are_counted_by_the_circuit_itself(system, autojump_clock):
    events = told(system, "quality_changed")
    search = system.circuit("search", failure_threshold=1000)
    quality = search.quality("errors", upper=0.3, lower=0.1, window=60.0)

    async def minutes(number: int, failing: int) -> None:
        for second in range(60 * number):
            if second % 10 < failing:
                search.failure()
            else:
                search.call(int)
            await trio.sleep(1)

    await minutes(3, 2)
    assert (events, quality.state) == ([], "ok")
    await minutes(3, 5)
    assert [event.data["quality"] for event in events] == ["degraded"]
    await minutes(3, 2)
    assert len(events) == 1
    await minutes(3, 0)
    assert [event.data["quality"] for event in events] == ["degraded", "ok"]


@requirement("DT-07")
@pytest.mark.parametrize(
    "options",
    [
        {"upper": 1.0, "lower": 1.0},
        {"upper": 1.0, "lower": 2.0},
        {"upper": 0},
        {"measure": "errors", "upper": 1.5},
        {"measure": "jitter", "upper": 1.0},
        {"upper": 1.0, "percentile": 0},
        {"upper": 1.0, "window": 0},
        {"upper": 1.0, "minimum": 0},
    ],
)
def test_limits_out_of_order_are_refused(options):
    with pytest.raises(ConfigError):
        brama.System(brama.Settings()).circuit("search").quality(**options)


async def test_a_block_is_timed_by_the_clock_of_the_circuit(system, autojump_clock):
    quality = system.circuit("search").quality(upper=1.0, minimum=1, every=1.0)
    with quality.timed():
        await trio.sleep(3)
    with pytest.raises(OSError), quality.timed():
        raise OSError
    await trio.sleep(1)
    assert (quality.value, quality.degraded) == (3.0, True)


async def test_errors_are_not_observed_by_hand(system, autojump_clock):
    quality = system.circuit("search").quality("errors", upper=0.5)
    with pytest.raises(ConfigError, match="'latency'"):
        quality.observe(1.0)


def test_too_few_samples_say_nothing_and_old_ones_are_forgotten():
    latency = Latency(window=60.0, percentile=0.5, minimum=3)
    for now, duration in ((0.0, 9.0), (1.0, 1.0), (2.0, 2.0)):
        latency.add(now, duration)
    assert latency.value(2.0) == 2.0
    assert latency.value(60.0) is None
    for _ in range(5000):
        latency.add(60.0, 0.1)
    assert (latency.value(60.0), len(latency._samples)) == (0.1, 1024)


def test_the_share_of_errors_is_that_of_the_window():
    share = ErrorShare(window=60.0, minimum=10)
    share.read(0.0, 0, 0)
    assert share.value() is None
    share.read(30.0, 5, 5)
    assert share.value() == 0.5
    share.read(61.0, 15, 5)
    assert share.value() == 0.25, "the reading at 0 is the last before the window"
    share.read(95.0, 15, 5)
    assert share.value() == 0.0
    share.read(100.0, 0, 1)  # unregistered and registered again
    assert share.value() is None


def test_between_the_limits_it_stays_what_it_was():
    state = Hysteresis(2.0, 1.0)
    assert [state.judge(value) for value in (2.0, 2.1, 1.0, 2.0, 0.9, 0.9)] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]


# Links


@requirement("DT-01")
async def test_a_socket_tells_once_that_it_is_open_and_once_that_it_is_closed(
    system, autojump_clock
):
    events = told(system, "connected", "disconnected")
    stock = system.circuit("stock")
    one, other = socket.socketpair()
    with other, stock.link(one) as inside:
        assert inside is one
        inside.send(b"x")
    assert one.fileno() == -1
    await trio.sleep(0.1)
    assert [event.event for event in events] == ["connected", "disconnected"]


class Pool:
    """An async pool as drivers have them."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.open = False

    async def __aenter__(self) -> Self:
        if self.fault is not None:
            raise self.fault
        self.open = True
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.open = False


@requirement("DT-01")
async def test_a_pool_that_breaks_says_why(system, autojump_clock):
    events = told(system, "connected", "disconnected")
    link = system.circuit("db").link(Pool())
    with pytest.raises(OSError, match="cut"):
        async with link as pool:
            assert (pool.open, link.connected) == (True, True)
            raise OSError("cut")
    await trio.sleep(0.1)
    assert [(event.event, event.data["reason"]) for event in events] == [
        ("connected", None),
        ("disconnected", "OSError: cut"),
    ]
    assert (pool.open, link.connected) == (False, False)


@requirement("DT-01")
async def test_what_cannot_be_opened_is_a_failure_and_no_connection(system, autojump_clock):
    events = told(system, "connected", "disconnected")
    db = system.circuit("db", failure_threshold=1)
    with pytest.raises(OSError):
        async with db.link(Pool(OSError("refused"))):
            raise AssertionError("not reached")
    await trio.sleep(0.1)
    assert (events, db.status().reason) == ([], "OSError: refused")


@requirement("DT-01")
async def test_a_hook_that_raises_is_counted_and_the_connection_works(
    system, autojump_clock, caplog
):
    called = []
    link = system.circuit("db").link(
        Pool(), on_connect=lambda: 1 / 0, on_disconnect=lambda: called.append(1)
    )
    async with link as pool:
        assert pool.open
    assert (link.hook_errors, called) == (1, [1])
    assert "ZeroDivisionError" in caplog.text


async def test_a_link_by_hand_tells_each_end_once(system, autojump_clock):
    events = told(system, "connected", "disconnected")
    db = system.circuit("db", failure_threshold=1)
    link = db.link()
    link.close()
    link.open()
    link.open()
    link.close("peer reset", failed=True)
    link.close()
    await trio.sleep(0.1)
    assert [event.event for event in events] == ["connected", "disconnected"]
    assert (db.state, db.status().reason) == (brama.State.OPEN, "peer reset")


@requirement("DT-01")
def test_eight_threads_that_close_one_link_tell_it_once():
    with (
        brama.System(brama.Settings()) as system,
        system.events(events=["disconnected"]) as events,
    ):
        link = system.circuit("db").link()
        link.open()
        threads = [threading.Thread(target=link.close) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        events.get(timeout=WITHIN)
        with pytest.raises(TimeoutError):
            events.get(timeout=0.05)


@requirement("DT-01")
def test_a_session_of_aiohttp_tells_both_ends():
    async def main() -> None:
        async with (
            brama.System(brama.Settings()) as system,
            system.events(events=["connected", "disconnected"]) as events,
        ):
            async with system.circuit("api").link(aiohttp.ClientSession()) as session:
                assert not session.closed
            assert session.closed
            seen = [(await events.aget()).event for _ in range(2)]
        assert seen == ["connected", "disconnected"]

    asyncio.run(asyncio.wait_for(main(), WITHIN))


def test_a_plain_poll_runs_on_a_worker_thread():
    ran, there = [], threading.Event()

    def read() -> str:
        ran.append(threading.current_thread())
        there.set()
        return "ON"

    with brama.System(brama.Settings()) as system:
        system.circuit("turbine").poll(read, every=0.05)
        assert there.wait(WITHIN)
        loop = next(t for t in threading.enumerate() if t.name.startswith("brama"))
        assert ran[0] not in (threading.current_thread(), loop)

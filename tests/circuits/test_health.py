"""Health checks: an open circuit is asked after, so that no call has to be the probe."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
import trio

import brama
from brama.actors import kill
from brama.circuits.asking import Answer, Question
from brama.notifier import inline
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
WITHIN = 10.0


class Remote:
    """Something that is asked whether it is well."""

    def __init__(self, answer: object = None) -> None:
        self.answer = answer
        self.asked: list[float] = []

    async def check(self) -> object:
        self.asked.append(trio.current_time())
        if isinstance(self.answer, BaseException):
            raise self.answer
        if callable(self.answer):
            return await self.answer()
        return self.answer


@pytest.fixture
async def system(nursery) -> brama.System:
    system = brama.System(brama.Settings())
    await nursery.start(system.run)
    return system


def opened(system: brama.System, remote: Remote, **options) -> brama.Circuit:
    options = {"expiry": 1000.0, "failure_threshold": 1, **options}
    circuit = system.circuit("api", health_check=remote.check, **options)
    circuit.failure("Timeout")
    return circuit


@requirement("BR-28")
async def test_a_check_that_passes_closes_the_circuit_long_before_its_expiry(
    system, autojump_clock
):
    remote = Remote()
    circuit = opened(system, remote)
    await trio.sleep(4.9)
    assert (remote.asked, circuit.state) == ([], brama.State.OPEN)
    await trio.sleep(0.2)
    assert (len(remote.asked), circuit.state) == (1, brama.State.CLOSED)
    assert circuit.status().opened_count == 1
    await trio.sleep(100)
    assert len(remote.asked) == 1, "a closed circuit is not asked after"


async def test_the_way_back_is_told_as_that_of_any_other_probe(system, autojump_clock):
    seen = []
    wanted = ["state_change", "health_check"]
    system.subscribe(inline(seen.append), events=wanted, connection="api")
    opened(system, Remote())
    await trio.sleep(6)
    told = [(e.event, e.data.get("new_state"), e.data["reason"]) for e in seen]
    assert told == [
        ("state_change", "open", "Timeout"),
        ("health_check", None, None),
        ("state_change", "half_open", "health check passed"),
        ("state_change", "closed", "probe succeeded"),
    ]


@requirement("BR-28")
@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (OSError("no route"), "OSError: no route"),
        (False, "it answered False"),
        (trio.sleep_forever, "no answer within 2.5 s"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (BaseException(), "BaseException"),
    ],
)
async def test_a_check_that_fails_hangs_or_crashes_leaves_it_open_and_is_asked_again(
    system, autojump_clock, answer, fault
):
    seen = []
    system.subscribe(inline(seen.append), events=["health_check"])
    remote = Remote(answer)
    circuit = opened(system, remote)
    await trio.sleep(40)
    assert circuit.state is brama.State.OPEN
    assert 5 <= len(remote.asked) <= 8
    assert {(e.data["healthy"], e.data["reason"]) for e in seen} == {(False, fault)}
    assert circuit.status().failures == 1
    assert system.health().status == "ok"
    remote.answer = None
    await trio.sleep(6)
    assert circuit.state is brama.State.CLOSED


async def test_no_caller_is_needed_and_none_is_burnt(system, autojump_clock):
    circuit = opened(system, Remote())
    calls = []
    await trio.sleep(3)
    with pytest.raises(brama.CircuitOpenError):
        circuit.call(calls.append, 1)
    await trio.sleep(3)
    circuit.call(calls.append, 2)
    assert calls == [2]


@requirement("BR-28")
async def test_the_policy_says_how_many_checks_close_it(system, autojump_clock):
    remote = Remote()
    circuit = opened(system, remote, success_threshold=3)
    await trio.sleep(6)
    assert circuit.state is brama.State.HALF_OPEN
    circuit.try_acquire().ignore()  # calls may go out from here on, long before the expiry
    await trio.sleep(5)
    assert circuit.state is brama.State.HALF_OPEN
    await trio.sleep(5)
    assert (circuit.state, len(remote.asked)) == (brama.State.CLOSED, 3)


async def test_a_check_that_fails_in_half_open_opens_again_for_the_whole_expiry(
    system, autojump_clock
):
    remote = Remote()
    circuit = opened(system, remote, success_threshold=2)
    await trio.sleep(6)
    remote.answer = OSError("flapping")
    await trio.sleep(5)
    status = circuit.status()
    assert (status.state, status.opened_count) == (brama.State.OPEN, 2)
    assert status.reason == "health check failed: OSError: flapping"
    assert status.retry_after > 990


async def test_interval_and_timeout_are_the_policys_and_may_change(system, autojump_clock):
    remote = Remote(trio.sleep_forever)
    opened(system, remote, health_interval=1.0, health_timeout=0.25)
    await trio.sleep(4)
    assert remote.asked == [1.0, 2.25, 3.5]
    system.configure("api", health_interval=100.0, health_timeout=1.0)
    await trio.sleep(90)
    assert len(remote.asked) <= 4


async def test_a_verdict_that_comes_after_somebody_has_decided_is_dropped(system, autojump_clock):
    answered = trio.Event()
    remote = Remote(answered.wait)
    circuit = opened(system, remote, health_timeout=4.0)
    await trio.sleep(5.5)
    assert len(remote.asked) == 1
    circuit.close_circuit()
    circuit.open_circuit("deploy", expires_in=500)
    answered.set()
    await trio.sleep(1)
    assert (circuit.state, circuit.status().reason) == (brama.State.OPEN, "deploy")
    remote.answer = None
    await trio.sleep(6)
    assert circuit.state is brama.State.CLOSED


async def test_each_opening_is_asked_after_and_nobody_stays_behind(system, autojump_clock):
    remote = Remote()
    circuit = opened(system, remote)
    for number in range(1, 6):
        await trio.sleep(10)
        assert (circuit.state, len(remote.asked)) == (brama.State.CLOSED, number)
        circuit.open_circuit()
    await trio.sleep(10)
    assert system.tree().find("circuits").children == ()
    assert system._bells.checks.actors == {}


@requirement("BR-19")
async def test_a_killed_checker_has_a_successor(system, autojump_clock):
    remote = Remote(trio.sleep_forever)
    circuit = opened(system, remote)
    await trio.sleep(6)
    kill(system._bells.checks.actors[circuit._breaker])
    await trio.sleep(0.1)
    remote.answer = None
    await trio.sleep(5.5)
    assert circuit.state is brama.State.CLOSED


@requirement("BR-19")
async def test_checks_survive_the_crash_of_the_supervisor_above_them(system, autojump_clock):
    remote = Remote(OSError("down"))
    circuit = opened(system, remote)
    await trio.sleep(6)
    kill(system._bells.supervisor)
    await trio.sleep(1)
    remote.answer = None
    await trio.sleep(5.5)
    assert circuit.state is brama.State.CLOSED


async def test_two_that_are_asked_for_at_once_are_one(system, autojump_clock):
    remote = Remote(OSError("down"))
    circuit = opened(system, remote)
    await trio.sleep(0.01)  # its actor comes up on the loop
    for _ in range(10):
        await trio.sleep(0.01)
        system._bells.have_checked(circuit._breaker)
        kill(system._bells.actors[circuit._breaker])
    await trio.sleep(21)
    assert len(remote.asked) == 4


async def test_a_circuit_that_is_unregistered_is_not_asked_after_any_more(system, autojump_clock):
    remote = Remote(OSError("down"))
    opened(system, remote)
    await trio.sleep(6)
    system.unregister("api")
    await trio.sleep(20)
    assert len(remote.asked) == 1
    assert system.tree().find("circuits").children == ()


def test_a_timeout_that_is_not_shorter_than_the_interval_is_refused():
    with pytest.raises(ConfigError, match=r"health_timeout must be less than health_interval"):
        brama.Policy(health_interval=1.0, health_timeout=1.0)
    assert brama.Policy(health_interval=1.0).health_timeout == 0.5


# Where it runs


def until(condition: Callable[[], object]) -> None:
    ticks = threading.Event()
    for _ in range(2000):
        if condition():
            return
        ticks.wait(0.005)
    raise AssertionError("it did not come true in time")


@requirement("BR-28")
def test_a_plain_check_runs_on_a_worker_thread_and_may_block():
    ran = []

    def check() -> None:
        ran.append(threading.current_thread())
        threading.Event().wait(0.02)

    with brama.System(brama.Settings()) as system:
        circuit = system.circuit("api", health_check=check, health_interval=0.05, expiry=1000)
        circuit.open_circuit()
        until(lambda: circuit.state is brama.State.CLOSED)
        loop = next(t for t in threading.enumerate() if t.name.startswith("brama"))
        assert ran[0] not in (threading.current_thread(), loop)


def test_an_async_check_runs_on_the_asyncio_loop_that_the_circuit_was_made_on():
    async def main() -> None:
        loops = []

        async def check() -> None:
            await asyncio.sleep(0)
            loops.append(asyncio.get_running_loop())

        async with brama.System(brama.Settings()) as system:
            circuit = system.circuit("api", health_check=check, health_interval=0.02)
            circuit.open_circuit()
            while circuit.state is not brama.State.CLOSED:
                await asyncio.sleep(0.005)
        assert loops == [asyncio.get_running_loop()]

    asyncio.run(asyncio.wait_for(main(), WITHIN))


def test_a_check_of_a_closed_asyncio_loop_is_a_failed_check():
    async def check() -> None: ...

    async def make() -> brama.Circuit:
        return system.circuit("api", health_check=check, health_interval=0.02)

    with (
        brama.System(brama.Settings()) as system,
        system.events(events=["health_check"]) as events,
    ):
        circuit = asyncio.run(make())
        circuit.open_circuit()
        event = events.get(timeout=WITHIN)
        assert event.data["reason"] == (
            "ConnectionError: the asyncio loop that it belongs to is closed"
        )
        assert circuit.state is brama.State.OPEN


async def test_a_plain_question_that_hangs_has_one_thread_however_often_it_is_asked():
    free, started = threading.Event(), []

    def hang() -> str:
        started.append(threading.current_thread())
        free.wait(WITHIN)
        return "well"

    question = Question(hang, 0.02, None)
    threads = trio.CapacityLimiter(2)
    try:
        faults = [(await question.ask(threads)).fault for _ in range(4)]
    finally:
        free.set()
    assert faults[0] == "no answer within 0.02 s"
    assert set(faults[1:]) == {"TimeoutError: the call before this one still hangs"}
    question.timeout = WITHIN
    while threads.borrowed_tokens:
        await trio.sleep(0.001)
    assert len(started) == 1
    assert await question.ask(threads) == Answer("well")


async def test_a_plain_function_that_returns_a_coroutine_is_a_mistake_and_leaves_no_warning():
    async def check() -> None: ...

    question = Question(lambda: check(), 1.0, None)  # noqa: PLW0108
    answer = await question.ask(trio.CapacityLimiter(1))
    assert "define it with async def" in (answer.fault or "")


async def test_a_cancelled_asker_is_cancelled_and_cancels_what_runs_on_asyncio():
    cancelled = threading.Event()
    begun = threading.Event()

    async def check() -> None:
        begun.set()
        try:
            await asyncio.sleep(WITHIN)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        question = Question(check, WITHIN, loop)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(question.ask, trio.CapacityLimiter(1))
            await trio.to_thread.run_sync(begun.wait, WITHIN)
            nursery.cancel_scope.cancel()
        assert await trio.to_thread.run_sync(cancelled.wait, WITHIN)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WITHIN)
        loop.close()

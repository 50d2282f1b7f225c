"""The traps that circuit breakers fall into, each through every form of a call.

Source: `docs/circuits/traps.md` names them with those who fell into them.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref
from contextlib import nullcontext
from functools import partial

import pytest
import trio

from brama.circuits import CircuitOpenError, State

from .forms import ASYNC, FORMS, SYNC

requirement = pytest.mark.requirement
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


class Ignored(Exception):
    pass


@pytest.fixture
def options():
    return {}


# Circuits that count without a lock, and ones that time every call.
timed_too = pytest.mark.parametrize("options", [{}, {"slow_after": 1e6}], ids=["plain", "timed"])


@pytest.fixture
def world(world, options):
    world.circuit = partial(world.circuit, **options)
    return world


def counts(circuit):
    status = circuit.status()
    if status.in_flight:  # what is left is in a cycle of references, and slow to collect
        gc.collect()
        status = circuit.status()
    assert (status.in_flight, status.half_open_in_flight) == (0, 0)
    return status.successes, status.failures, status.ignored


def elsewhere(function):
    """Call it in another thread, which shares nothing with the caller."""
    results = []

    def run():
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    return results[0]


def fail(error):
    def body():
        raise error

    return body


# The herd at the half-open gate


@timed_too
@requirement("BR-R04")
@forms
def test_of_twenty_who_meet_a_half_open_circuit_one_goes_out(world, form):
    circuit = world.half_open()
    calls = []

    def probe():
        calls.append("probe")
        for _ in range(19):
            error = elsewhere(lambda: form(circuit, lambda: calls.append("herd")))
            assert isinstance(error, CircuitOpenError)

    form(circuit, probe)
    assert calls == ["probe"]
    assert circuit.state is State.CLOSED
    assert circuit.status().refused == 19


@requirement("BR-R04")
@forms
def test_a_probe_that_hangs_is_given_up_and_another_goes_out(world, form):
    circuit = world.half_open(half_open_timeout=8.0)

    def hangs():
        world.clock.advance(8.0)
        assert elsewhere(lambda: form(circuit, lambda: None)) is None
        assert circuit.state is State.CLOSED
        raise OSError

    with pytest.raises(OSError):
        form(circuit, hangs)
    assert (circuit.state, circuit.status().late) == (State.CLOSED, 1)


# Late results


@timed_too
@requirement("BR-R01")
@forms
@pytest.mark.parametrize("error", [None, OSError()], ids=["success", "failure"])
def test_a_late_result_neither_closes_nor_prolongs_an_open_circuit(world, form, error):
    circuit = world.circuit(failure_threshold=2)

    def outlives_the_opening():
        circuit.failure()
        circuit.failure()
        world.clock.advance(20)
        if error is not None:
            raise error

    with nullcontext() if error is None else pytest.raises(OSError):
        form(circuit, outlives_the_opening)
    status = circuit.status()
    assert (status.state, status.retry_after, status.late) == (State.OPEN, 40.0, 1)


@timed_too
@requirement("BR-R01")
@forms
@pytest.mark.parametrize("error", [None, OSError()], ids=["success", "failure"])
def test_a_late_result_does_not_decide_while_a_probe_is_out(world, form, error):
    circuit = world.circuit(failure_threshold=2)
    probes = []

    def outlives_the_opening():
        circuit.failure()
        circuit.failure()
        world.clock.advance(60)
        probes.append(circuit.try_acquire())
        if error is not None:
            raise error

    with nullcontext() if error is None else pytest.raises(OSError):
        form(circuit, outlives_the_opening)
    status = circuit.status()
    assert (status.state, status.half_open_in_flight, status.late) == (State.HALF_OPEN, 1, 1)
    probes[0].success()
    assert circuit.state is State.CLOSED


# Neutral outcomes

NEUTRAL = [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, Ignored]


@requirement("BR-R03")
@forms
@pytest.mark.parametrize("error", NEUTRAL)
def test_three_neutral_calls_do_nothing(world, form, error):
    circuit = world.circuit(failure_threshold=2, ignore=Ignored)
    for _ in range(3):
        with pytest.raises(error):
            form(circuit, fail(error()))
    assert counts(circuit) == (0, 0, 3)
    assert circuit.state is State.CLOSED


@timed_too
@requirement("BR-R03")
@forms
@pytest.mark.parametrize("error", NEUTRAL)
def test_a_neutral_call_between_two_failures_does_not_part_them(world, form, error):
    circuit = world.circuit(failure_threshold=2, ignore=Ignored)
    for raised in (OSError, error, OSError):
        with pytest.raises(raised):
            form(circuit, fail(raised()))
    assert circuit.state is State.OPEN


@timed_too
@requirement("BR-R16")
@forms
@pytest.mark.parametrize("error", NEUTRAL)
def test_a_neutral_probe_neither_closes_nor_opens_and_gives_its_place_back(world, form, error):
    circuit = world.half_open(ignore=Ignored)
    with pytest.raises(error):
        form(circuit, fail(error()))
    assert counts(circuit) == (0, 0, 1)
    assert (circuit.state, circuit.available()) == (State.HALF_OPEN, True)


# Exceptions


@timed_too
@requirement("BR-11")
@forms
def test_the_exception_that_leaves_is_the_one_that_was_raised(world, form):
    error = OSError("down")
    with pytest.raises(OSError) as caught:
        form(world.circuit(), fail(error))
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert traceback.extract_tb(error.__traceback__)[-1].name == "body"


@forms
def test_the_circuit_keeps_nothing_of_a_failed_call_alive(world, form):
    class Local:
        pass

    def body():
        local = Local()
        kept.append(weakref.ref(local))
        raise OSError("down")

    kept: list[weakref.ref[Local]] = []
    circuit = world.circuit()
    with pytest.raises(OSError):
        form(circuit, body)
    gc.collect()
    assert kept[0]() is None
    assert counts(circuit)[1] == 1


@requirement("BR-R09")
@forms
def test_a_thousand_refusals_hold_no_traceback_and_nobody_s_frames(world, form):
    def refusals():
        gc.collect()
        return [id(thing) for thing in gc.get_objects() if isinstance(thing, CircuitOpenError)]

    circuit = world.circuit()
    circuit.open_circuit()
    depths = set()
    before = refusals()  # those of other test modules
    for _ in range(1000 if form in SYNC.values() else 100):
        with pytest.raises(CircuitOpenError) as caught:
            form(circuit, pytest.fail)
        refusal = caught.value
        depths.add(len(list(traceback.walk_tb(refusal.__traceback__))))
        assert (refusal.__cause__, refusal.__context__) == (None, None)
    del caught, refusal
    assert len(depths) == 1
    assert refusals() == before


# States that are set by hand


@timed_too
@requirement("BR-11")
@forms
@pytest.mark.parametrize(
    ("state", "counted"),
    [("force_open", (0, 0, 4)), ("disable", (1, 3, 0)), ("metrics_only", (1, 3, 0))],
)
def test_states_that_are_set_by_hand_hold_for_every_form(world, form, state, counted):
    circuit = world.circuit(failure_threshold=2)
    getattr(circuit, state)()
    expected = CircuitOpenError if state == "force_open" else OSError
    with pytest.raises(expected) if state == "force_open" else nullcontext():
        form(circuit, lambda: None)
    for _ in range(3):
        with pytest.raises(expected):
            form(circuit, fail(OSError()))
    status = circuit.status()
    assert (status.successes, status.failures, status.refused) == counted
    assert status.state == {"force_open": "forced_open", "disable": "disabled"}.get(state, state)


# Re-entrance


# A task that was returned settles its call when it is over, from outside: it is no entry around
# what the task itself calls.
ENTRIES = {name: form for name, form in FORMS.items() if name != "returned task"}


@timed_too
@requirement("BR-R15")
@pytest.mark.parametrize("form", ENTRIES.values(), ids=ENTRIES)
def test_a_failure_that_passes_through_two_entries_is_one(world, form):
    circuit = world.circuit(failure_threshold=3)

    def outer():
        circuit.call(fail(OSError()))

    with pytest.raises(OSError):
        form(circuit, outer)
    assert circuit.status().failure_count == 1


@requirement("BR-R15")
@pytest.mark.parametrize("form", SYNC.values(), ids=SYNC)
def test_a_call_inside_the_probe_rides_on_it(world, form):
    circuit = world.half_open()
    form(circuit, lambda: circuit.call(int))
    assert counts(circuit) == (1, 0, 0)
    assert circuit.state is State.CLOSED


@requirement("BR-R15")
@forms
def test_a_call_may_open_and_close_its_own_circuit(world, form):
    circuit = world.circuit()

    def body():
        circuit.open_circuit()
        circuit.close_circuit()
        circuit.status()

    form(circuit, body)
    assert (circuit.state, circuit.status().late) == (State.CLOSED, 1)


# These ask in a plain function, which must not hold up the loop.
AT_ONCE = ("async decorated wrapper", "returned coroutine", "guard in a task", "returned task")


@pytest.mark.parametrize("name", ASYNC)
def test_an_async_call_may_wait_for_the_verdict_of_the_probe(world, name):
    circuit, form = world.half_open(half_open_wait=30.0), ASYNC[name]
    order = []

    async def main():
        probing = asyncio.Event()

        async def probe():
            async with circuit.guard():
                await probing.wait()
                order.append("probe")

        async def call():
            order.append("call")

        tasks = [asyncio.ensure_future(probe())]
        await asyncio.sleep(0)
        tasks.append(asyncio.ensure_future(form(circuit, call)))
        for _ in range(5):
            await asyncio.sleep(0)
        probing.set()
        return (await asyncio.gather(*tasks, return_exceptions=True))[1]

    error = asyncio.run(main())
    if name in AT_ONCE:
        assert isinstance(error, CircuitOpenError)
        assert order == ["probe"]
    else:
        assert error is None
        assert order == ["probe", "call"]
    assert counts(circuit) == (len(order), 0, 0)


# Cancellation at every point where a task may wait

ON_TRIO = {name: form for name, form in ASYNC.items() if name != "returned task"}
POINTS = 3


@requirement("BR-10")
@pytest.mark.parametrize("form", ASYNC.values(), ids=ASYNC)
@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
@pytest.mark.parametrize("point", range(POINTS))
def test_a_task_that_is_cancelled_at_any_await_of_the_call_is_neutral(
    world, form, half_open, point
):
    circuit = world.half_open() if half_open else world.circuit(failure_threshold=1)

    async def main():
        task = None

        async def body():
            for number in range(POINTS):
                if number == point:
                    asyncio.get_running_loop().call_soon(task.cancel)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            await asyncio.sleep(60)

        task = asyncio.ensure_future(form(circuit, body))
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert counts(circuit) == (0, 0, 1)
    assert circuit.available()


@requirement("BR-10")
@pytest.mark.parametrize("form", ON_TRIO.values(), ids=ON_TRIO)
@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
@pytest.mark.parametrize("point", range(POINTS))
def test_a_trio_scope_that_is_cancelled_at_any_checkpoint_of_the_call_is_neutral(
    world, form, half_open, point
):
    circuit = world.half_open() if half_open else world.circuit(failure_threshold=1)

    async def main():
        with trio.CancelScope() as scope:

            async def body():
                for number in range(POINTS):
                    if number == point:
                        scope.cancel()
                    await trio.lowlevel.checkpoint()
                await trio.sleep(60)

            await form(circuit, body)
        assert scope.cancelled_caught

    trio.run(main)
    assert counts(circuit) == (0, 0, 1)
    assert circuit.available()


@requirement("BR-10")
@pytest.mark.parametrize("form", ON_TRIO.values(), ids=ON_TRIO)
def test_a_trio_time_out_inside_the_call_is_a_failure(world, form):
    circuit = world.circuit(failure_threshold=1)

    async def body():
        with trio.fail_after(0.001):
            await trio.sleep_forever()

    with pytest.raises(trio.TooSlowError):
        trio.run(form, circuit, body)
    assert circuit.state is State.OPEN

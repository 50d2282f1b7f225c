"""``with circuit.guard()``: nested, concurrent, interleaved, sync and async."""

from __future__ import annotations

import asyncio
import threading

import pytest
import trio
import trio.testing

from brama.circuits import CircuitOpenError, State

requirement = pytest.mark.requirement


def counts(circuit):
    status = circuit.status()
    return status.calls, status.successes, status.failures, status.ignored


def test_leaving_the_block_is_a_success_and_an_exception_a_failure(world):
    circuit = world.circuit()
    with circuit.guard():
        pass
    with pytest.raises(OSError), circuit.guard():
        raise OSError
    assert counts(circuit) == (2, 1, 1, 0)


def test_a_guard_does_not_swallow_the_exception(world):
    error = OSError("down")
    with pytest.raises(OSError) as caught, world.circuit().guard():
        raise error
    assert caught.value is error


def test_entering_is_refused_while_the_circuit_is_open_and_the_block_is_not_run(world):
    circuit = world.circuit()
    circuit.open_circuit()
    with pytest.raises(CircuitOpenError), circuit.guard():
        pytest.fail("the block must not run")
    assert circuit.status().refused == 1


def test_a_guard_that_was_refused_may_be_tried_again(world):
    circuit = world.circuit()
    circuit.open_circuit(expires_in=10)
    guard = circuit.guard()
    with pytest.raises(CircuitOpenError), guard:
        pass
    world.clock.advance(10)
    with guard:
        pass
    assert circuit.state is State.CLOSED


@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
def test_a_guard_is_entered_once(world, half_open):
    guard = (world.half_open if half_open else world.circuit)().guard()
    with guard:
        with (
            pytest.raises(RuntimeError, match=r"a guard is entered once; call circuit\.guard"),
            guard,
        ):
            pass
        assert guard.pending
    with pytest.raises(RuntimeError, match="a guard is entered once"), guard:
        pass


def test_a_permit_that_was_acquired_serves_as_a_guard(world):
    circuit = world.circuit()
    with circuit.try_acquire() as permit:
        assert permit.pending
    assert counts(circuit) == (1, 1, 0, 0)


def test_a_permit_that_was_acquired_and_settled_is_no_guard_any_more(world):
    permit = world.circuit().try_acquire()
    permit.success()
    with pytest.raises(RuntimeError, match="entered once"), permit:
        pass


def test_nested_guards_of_a_closed_circuit_are_calls_of_their_own(world):
    circuit = world.circuit()
    with circuit.guard(), circuit.guard(), circuit.guard():
        assert circuit.status().in_flight == 3
    assert counts(circuit) == (3, 3, 0, 0)


def test_guards_that_overlap_without_nesting_settle_each_for_itself(world):
    circuit = world.circuit(failure_threshold=1)
    first, second = circuit.guard(), circuit.guard()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    error = OSError()
    second.__exit__(OSError, error, None)
    assert counts(circuit) == (2, 1, 1, 0)
    assert circuit.state is State.OPEN


def test_guards_in_two_generators_that_take_turns_do_not_swap_their_outcomes(world):
    good, bad = (
        world.circuit("good", failure_threshold=1),
        world.circuit("bad", failure_threshold=1),
    )

    def job(circuit, error):
        with circuit.guard():
            yield
            if error:
                raise error

    first, second = job(good, None), job(bad, OSError())
    next(first)
    next(second)
    with pytest.raises(OSError):
        next(second)
    with pytest.raises(StopIteration):
        next(first)
    assert (good.state, bad.state) == (State.CLOSED, State.OPEN)


def test_a_suspended_generator_lets_nobody_ride_on_its_probe(world):
    circuit = world.half_open()

    def job():
        with circuit.guard():
            yield

    first, second = job(), job()
    next(first)
    for _ in range(10):  # in the same thread and context, but not inside the guarded block
        with pytest.raises(CircuitOpenError):
            circuit.call(lambda: None)
    with pytest.raises(CircuitOpenError):
        next(second)
    with pytest.raises(StopIteration):
        next(first)
    assert circuit.state is State.CLOSED
    assert circuit.status().refused == 11
    assert circuit.status().in_flight == 0


def test_concurrent_asyncio_tasks_have_permits_of_their_own(world):
    circuit = world.circuit(failure_threshold=100)

    async def job(number):
        async with circuit.guard() as permit:
            await asyncio.sleep(0)
            if number % 3 == 1:
                raise OSError
            await asyncio.sleep(0)
            if number % 3 == 2:
                permit.ignore()

    async def main():
        await asyncio.gather(*(job(number) for number in range(30)), return_exceptions=True)

    asyncio.run(main())
    assert counts(circuit) == (30, 10, 10, 10)


@pytest.mark.parametrize("loop", ["asyncio", "trio", "threads"])
def test_twenty_tasks_at_a_half_open_circuit_make_one_call(world, loop):
    circuit = world.half_open()
    refused = []

    async def asyncio_job(done):
        try:
            async with circuit.guard():
                await done.wait()
        except CircuitOpenError as error:
            refused.append(error)

    async def in_asyncio():
        done = asyncio.Event()
        tasks = [asyncio.ensure_future(asyncio_job(done)) for _ in range(20)]
        await asyncio.sleep(0)
        done.set()
        await asyncio.gather(*tasks)

    async def in_trio():
        done = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(asyncio_job, done)
            await trio.testing.wait_all_tasks_blocked()
            done.set()

    def in_threads():
        done, together = threading.Event(), threading.Barrier(20)

        def job():
            together.wait()
            try:
                with circuit.guard():
                    done.wait(10)
            except CircuitOpenError as error:
                refused.append(error)
                if len(refused) == 19:
                    done.set()

        threads = [threading.Thread(target=job) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    {
        "asyncio": lambda: asyncio.run(in_asyncio()),
        "trio": lambda: trio.run(in_trio),
        "threads": in_threads,
    }[loop]()
    assert len(refused) == 19
    assert circuit.status().calls == 1
    assert circuit.state is State.CLOSED


@requirement("BR-R08")
async def test_an_async_guard_has_no_checkpoint(world):
    circuit = world.circuit(failure_threshold=1)
    with trio.testing.assert_no_checkpoints():
        async with circuit.guard():
            pass
        with pytest.raises(OSError):
            async with circuit.guard():
                raise OSError
        with pytest.raises(CircuitOpenError):
            async with circuit.guard():
                pass
        world.clock.advance(60)
        async with circuit.guard():
            pass
    assert circuit.state is State.CLOSED


@requirement("BR-R08")
async def test_a_cancelled_scope_does_not_replace_the_exception_that_leaves_the_guard(world):
    circuit = world.circuit()
    with pytest.raises(OSError), trio.CancelScope() as scope:
        async with circuit.guard():
            scope.cancel()
            raise OSError
    assert counts(circuit) == (1, 0, 1, 0)


def test_a_circuit_itself_is_no_context_manager(world):
    with pytest.raises(TypeError), world.circuit():
        pass


def test_an_exception_as_the_reason_of_a_failure_is_described_and_shown(world):
    seen = []
    circuit = world.circuit(
        failure_threshold=1, expiry=lambda attempt, outcome: seen.append(outcome.error)
    )
    error = TimeoutError("no answer")
    with circuit.guard() as permit:
        permit.failure(reason=error)
    assert circuit.status().reason == "TimeoutError: no answer"
    assert seen == [error]


def test_an_exception_that_was_reported_inside_and_raised_is_one_failure(world):
    circuit = world.circuit(failure_threshold=5)
    with pytest.raises(TimeoutError), circuit.guard(), circuit.guard() as permit:
        error = TimeoutError("no answer")
        permit.failure(error)
        raise error
    assert circuit.status().failure_count == 1

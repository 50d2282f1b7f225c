"""A guarded generator is guarded for as long as it runs."""

from __future__ import annotations

import asyncio
import gc

import pytest
import trio
import trio.testing

from brama.circuits import CircuitOpenError, State

pytestmark = pytest.mark.requirement("BR-R02")


class Stop(Exception):
    pass


@pytest.fixture(params=["closed", "half_open"])
def circuit(world, request):
    return (world.half_open if request.param == "half_open" else world.circuit)(failure_threshold=1)


def settled(circuit):
    status = circuit.status()
    assert (status.in_flight, status.half_open_in_flight) == (0, 0)
    return status.successes, status.failures, status.ignored


SUCCESS, FAILURE, NEUTRAL = (1, 0, 0), (0, 1, 0), (0, 0, 1)


def make(circuit, seen=None):
    seen = [] if seen is None else seen

    @circuit
    def rows():
        try:
            seen.append((yield 1))
            seen.append((yield 2))
        except Stop:
            seen.append("stop")
            yield "caught"
        finally:
            seen.append("end")
        return "result"

    return rows()


def make_async(circuit, seen=None):
    seen = [] if seen is None else seen

    @circuit
    async def rows():
        try:
            seen.append((yield 1))
            await asyncio.sleep(0)
            seen.append((yield 2))
        except Stop:
            seen.append("stop")
            yield "caught"
        finally:
            seen.append("end")

    return rows()


# Generators


def test_a_generator_that_ends_is_a_success(circuit):
    assert list(make(circuit)) == [1, 2]
    assert settled(circuit) == SUCCESS


def test_a_generator_counts_as_one_call_from_its_first_item_to_its_end(circuit):
    rows = make(circuit)
    assert circuit.status().calls == 0
    next(rows)
    assert (circuit.status().calls, circuit.status().in_flight) == (1, 1)
    list(rows)
    assert circuit.status().calls == 1


def test_the_returned_and_the_sent_values_pass_through(circuit):
    seen = []
    rows = make(circuit, seen)
    next(rows)
    assert rows.send("a") == 2
    with pytest.raises(StopIteration) as caught:
        rows.send("b")
    assert (caught.value.value, seen) == ("result", ["a", "b", "end"])
    assert settled(circuit) == SUCCESS


def test_a_generator_that_dies_halfway_is_a_failure(circuit):
    @circuit
    def rows():
        yield 1
        raise OSError("reset by peer")

    items = rows()
    next(items)
    with pytest.raises(OSError):
        next(items)
    assert settled(circuit) == FAILURE
    assert circuit.state is State.OPEN


def test_leaving_a_generator_early_is_neutral(circuit):
    seen = []
    for _ in make(circuit, seen):
        break
    assert seen == ["end"]
    assert settled(circuit) == NEUTRAL
    assert circuit.available()


def test_closing_a_generator_is_neutral(circuit):
    rows = make(circuit)
    next(rows)
    rows.close()
    rows.close()
    assert settled(circuit) == NEUTRAL


def test_a_generator_that_fails_while_it_is_closed_is_a_failure(circuit):
    @circuit
    def rows():
        try:
            yield 1
        finally:
            raise OSError("cannot hang up")

    items = rows()
    next(items)
    with pytest.raises(OSError):
        items.close()
    assert settled(circuit) == FAILURE


def test_an_exception_thrown_in_and_caught_changes_nothing(circuit):
    seen = []
    rows = make(circuit, seen)
    next(rows)
    assert rows.throw(Stop()) == "caught"
    assert list(rows) == []
    assert (seen, settled(circuit)) == (["stop", "end"], SUCCESS)


def test_an_exception_thrown_in_and_not_caught_is_a_failure(circuit):
    rows = make(circuit)
    next(rows)
    with pytest.raises(OSError):
        rows.throw(OSError())
    assert settled(circuit) == FAILURE


def test_a_generator_that_is_dropped_is_neutral(circuit):
    next(make(circuit))
    gc.collect()
    assert settled(circuit) == NEUTRAL


def test_a_generator_in_a_reference_cycle_is_neutral_once_it_is_collected(circuit):
    rows = make(circuit)
    next(rows)
    cycle = [rows]
    cycle.append(cycle)
    del rows, cycle
    assert circuit.status().in_flight == 1
    gc.collect()
    assert settled(circuit) == NEUTRAL
    assert circuit.available()


def test_a_generator_is_refused_when_it_is_begun_not_when_it_is_made(world):
    circuit = world.circuit()
    rows = make(circuit)
    circuit.open_circuit()
    with pytest.raises(CircuitOpenError):
        next(rows)


def test_generators_that_take_turns_settle_each_for_itself(world):
    circuit = world.circuit(failure_threshold=1)
    first, second, third = make(circuit), make(circuit), make(circuit)
    for rows in (first, second, third):
        next(rows)
    next(third)
    first.close()
    list(second)
    list(third)
    assert settled(circuit) == (2, 0, 1)


# Async generators


def drive(coroutine):
    return asyncio.run(coroutine)


def test_an_async_generator_that_ends_is_a_success(circuit):
    async def main():
        return [row async for row in make_async(circuit)]

    assert drive(main()) == [1, 2]
    assert settled(circuit) == SUCCESS


def test_values_sent_to_an_async_generator_pass_through(circuit):
    seen = []

    async def main():
        rows = make_async(circuit, seen)
        assert await rows.asend(None) == 1
        assert await rows.asend("a") == 2
        with pytest.raises(StopAsyncIteration):
            await rows.asend("b")

    drive(main())
    assert (seen, settled(circuit)) == (["a", "b", "end"], SUCCESS)


def test_an_async_generator_that_dies_halfway_is_a_failure(circuit):
    @circuit
    async def rows():
        yield 1
        raise OSError("reset by peer")

    async def main():
        with pytest.raises(OSError):
            async for _ in rows():
                pass

    drive(main())
    assert settled(circuit) == FAILURE


def test_closing_an_async_generator_is_neutral_and_closes_the_source(circuit):
    seen = []

    async def main():
        rows = make_async(circuit, seen)
        await anext(rows)
        await rows.aclose()
        await rows.aclose()

    drive(main())
    assert (seen, settled(circuit)) == (["end"], NEUTRAL)


def test_an_async_generator_left_early_is_neutral_once_the_loop_has_closed_it(circuit):
    seen = []

    async def main():
        async for _ in make_async(circuit, seen):
            break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == ["end"]

    drive(main())
    assert settled(circuit) == NEUTRAL


async def test_an_async_generator_left_early_in_trio_is_neutral(circuit):
    seen = []

    @circuit
    async def rows():
        try:
            yield 1
        finally:
            seen.append("end")

    async def leave_early():
        async for _ in rows():
            break
        gc.collect()
        await trio.testing.wait_all_tasks_blocked()

    with pytest.warns(ResourceWarning):  # trio's own word about it
        await leave_early()
    assert (seen, settled(circuit)) == (["end"], NEUTRAL)


def test_an_async_generator_that_is_collected_without_a_loop_is_neutral(circuit):
    rows = make_async(circuit)
    with pytest.raises(StopIteration):
        rows.__anext__().send(None)
    del rows
    gc.collect()
    assert settled(circuit) == NEUTRAL


def test_an_exception_thrown_into_an_async_generator_and_caught_changes_nothing(circuit):
    async def main():
        rows = make_async(circuit)
        await anext(rows)
        assert await rows.athrow(Stop()) == "caught"
        assert [row async for row in rows] == []

    drive(main())
    assert settled(circuit) == SUCCESS


def test_an_exception_thrown_into_an_async_generator_and_not_caught_is_a_failure(circuit):
    async def main():
        rows = make_async(circuit)
        await anext(rows)
        with pytest.raises(OSError):
            await rows.athrow(OSError())

    drive(main())
    assert settled(circuit) == FAILURE


def test_an_async_generator_that_is_cancelled_between_items_is_neutral(circuit):
    @circuit
    async def rows():
        yield 1
        await asyncio.sleep(3600)
        yield 2

    async def consume():
        async for _ in rows():
            pass

    async def main():
        task = asyncio.ensure_future(consume())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    drive(main())
    assert settled(circuit) == NEUTRAL


def test_an_async_generator_that_catches_the_close_and_yields_is_told_off(circuit):
    @circuit
    async def rows():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    async def main():
        items = rows()
        await anext(items)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            await items.aclose()

    drive(main())
    assert settled(circuit) == FAILURE


def test_async_generators_that_take_turns_settle_each_for_itself(world):
    circuit = world.circuit(failure_threshold=1)

    async def main():
        first, second = make_async(circuit), make_async(circuit)
        await anext(first)
        await anext(second)
        await first.aclose()
        assert [row async for row in second] == [2]

    drive(main())
    assert settled(circuit) == (1, 0, 1)

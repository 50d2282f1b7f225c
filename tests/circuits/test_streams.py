"""``guard_stream``: what is read piece by piece and may die halfway."""

from __future__ import annotations

import asyncio
import gc
import io
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
import trio

from brama.circuits import CircuitOpenError, State

pytestmark = pytest.mark.requirement("BR-R11")
requirement = pytest.mark.requirement


@pytest.fixture(params=["closed", "half_open"])
def circuit(world, request):
    return (world.half_open if request.param == "half_open" else world.circuit)(failure_threshold=1)


def settled(circuit):
    status = circuit.status()
    assert (status.in_flight, status.half_open_in_flight) == (0, 0)
    return status.successes, status.failures, status.ignored


SUCCESS, FAILURE, NEUTRAL = (1, 0, 0), (0, 1, 0), (0, 0, 1)


class Rows:
    """An iterator that is no generator, and may die."""

    def __init__(self, count, *, fail=False):
        self.left, self.fail, self.closed = count, fail, False

    def __iter__(self):
        return self

    def __next__(self):
        if self.left:
            self.left -= 1
            return self.left
        if self.fail:
            raise OSError("reset by peer")
        raise StopIteration

    def close(self):
        self.closed = True


class AsyncRows(Rows):
    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None


@contextmanager
def response(*, opens=True, swallow=()):
    if not opens:
        raise OSError("refused")
    with suppress(*swallow):
        yield Rows(2)


@asynccontextmanager
async def aresponse(*, opens=True):
    await asyncio.sleep(0)
    if not opens:
        raise OSError("refused")
    yield AsyncRows(2)


# Iterables


def test_the_end_of_the_items_is_the_success(circuit):
    stream = circuit.guard_stream(Rows(2))
    assert circuit.status().calls == 0
    assert next(stream) == 1
    assert circuit.status().in_flight == 1
    assert list(stream) == [0]
    assert settled(circuit) == SUCCESS


def test_items_that_stop_coming_halfway_are_a_failure(circuit):
    seen = []
    with pytest.raises(OSError, match="reset by peer"):
        for row in circuit.guard_stream(Rows(1, fail=True)):
            seen.append(row)  # noqa: PERF402
    assert seen == [0]
    assert settled(circuit) == FAILURE


def test_leaving_the_loop_is_neutral_and_leaves_the_source_open(circuit):
    rows = Rows(3)
    for _ in circuit.guard_stream(rows):
        break
    gc.collect()
    assert settled(circuit) == NEUTRAL
    assert not rows.closed


def test_closing_the_stream_is_neutral(circuit):
    stream = circuit.guard_stream(Rows(3))
    next(stream)
    stream.close()
    assert settled(circuit) == NEUTRAL


@pytest.mark.parametrize("source", [[1, 2], range(2), io.StringIO("a\nb"), iter("ab")])
def test_anything_that_can_be_read_can_be_guarded(world, source):
    circuit = world.circuit()
    assert len(list(circuit.guard_stream(source))) == 2
    assert settled(circuit) == SUCCESS


def test_a_function_makes_its_source_only_when_the_call_is_admitted(world):
    circuit = world.circuit(failure_threshold=1)
    assert list(circuit.guard_stream(lambda: Rows(2))) == [1, 0]
    circuit.open_circuit()
    with pytest.raises(CircuitOpenError):
        list(circuit.guard_stream(lambda: pytest.fail("must not be called")))


def test_a_failure_to_make_the_source_counts(circuit):
    def connect():
        raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        list(circuit.guard_stream(connect))
    assert settled(circuit) == FAILURE


def test_a_stream_that_is_never_used_leaves_no_trace(circuit):
    circuit.guard_stream(Rows(1)).close()
    assert circuit.status().calls == 0


# Async iterables


@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize("fail", [False, True], ids=["ends", "dies"])
def test_an_async_source_is_guarded_to_its_end(circuit, run, fail):
    async def rows():
        for row in Rows(2, fail=fail):
            yield row

    async def main():
        seen = []
        try:
            async for row in circuit.guard_stream(rows()):
                seen.append(row)  # noqa: PERF401 - what came before the error
        except OSError:
            assert fail
        return seen

    assert run(main) == [1, 0] if run is trio.run else run(main()) == [1, 0]
    assert settled(circuit) == (FAILURE if fail else SUCCESS)


def test_an_async_iterator_that_is_no_generator_is_guarded_to_its_end(circuit):
    async def main():
        stream = circuit.guard_stream(AsyncRows(1, fail=True))
        assert await anext(stream) == 0
        with pytest.raises(OSError, match="reset"):
            await anext(stream)

    asyncio.run(main())
    assert settled(circuit) == FAILURE


@requirement("BR-10")
def test_a_reader_that_is_cancelled_is_neutral(circuit):
    class Hangs(AsyncRows):
        async def __anext__(self):
            await asyncio.sleep(9)

    async def main():
        async def read():
            async for _ in circuit.guard_stream(Hangs(1)):
                pass

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    assert settled(circuit) == NEUTRAL


def test_closing_an_async_stream_is_neutral(circuit):
    async def main():
        stream = circuit.guard_stream(AsyncRows(3))
        await anext(stream)
        await stream.aclose()

    asyncio.run(main())
    assert settled(circuit) == NEUTRAL


# Blocks


def test_a_block_is_guarded_until_it_is_left(circuit):
    with circuit.guard_stream(response()) as rows:
        assert circuit.status().in_flight == 1
        assert list(rows) == [1, 0]
    assert settled(circuit) == SUCCESS


def test_a_body_that_dies_inside_the_block_is_a_failure(circuit):
    with pytest.raises(OSError, match="reset"), circuit.guard_stream(response()):
        list(Rows(1, fail=True))
    assert settled(circuit) == FAILURE


def test_a_block_that_cannot_be_entered_is_a_failure(circuit):
    with pytest.raises(OSError, match="refused"), circuit.guard_stream(response(opens=False)):
        pytest.fail("the block must not run")
    assert settled(circuit) == FAILURE


def test_an_exception_that_the_source_swallows_is_as_if_there_was_none(circuit):
    with circuit.guard_stream(response(swallow=(LookupError,))):
        raise LookupError
    assert settled(circuit) == SUCCESS


def test_an_async_block_is_guarded_until_it_is_left(circuit):
    async def main():
        async with circuit.guard_stream(aresponse()) as rows:
            assert circuit.status().in_flight == 1
            return [row async for row in rows]

    assert asyncio.run(main()) == [1, 0]
    assert settled(circuit) == SUCCESS


@pytest.mark.parametrize("opens", [True, False])
def test_an_async_block_that_dies_is_a_failure(circuit, opens):
    async def main():
        async with circuit.guard_stream(lambda: aresponse(opens=opens)):
            raise OSError

    with pytest.raises(OSError):
        asyncio.run(main())
    assert settled(circuit) == FAILURE


def test_a_source_that_fails_while_it_is_left_is_a_failure(circuit):
    class Source:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            raise OSError("cannot hang up")

    with pytest.raises(OSError), circuit.guard_stream(Source()):
        pass
    assert settled(circuit) == FAILURE


def test_the_source_is_not_entered_when_the_call_is_refused(world):
    class Source:
        def __enter__(self):
            pytest.fail("must not be entered")

        def __exit__(self, *_):
            pytest.fail("must not be left")

    circuit = world.circuit()
    circuit.open_circuit()
    with pytest.raises(CircuitOpenError), circuit.guard_stream(Source()):
        pass


@requirement("BR-R15")
@pytest.mark.parametrize("form", ["with", "async with"])
def test_a_call_inside_the_block_rides_on_the_probe(world, form):
    circuit = world.half_open()
    if form == "with":
        with circuit.guard_stream(response()):
            circuit.call(int)
    else:

        async def main():
            async with circuit.guard_stream(aresponse()):
                await circuit.acall(asyncio.sleep, 0)

        asyncio.run(main())
    assert settled(circuit) == SUCCESS
    assert circuit.state is State.CLOSED


def test_awaiting_is_guarded_too(circuit):
    async def main():
        return await circuit.guard_stream(asyncio.sleep(0, 5))

    assert asyncio.run(main()) == 5
    assert settled(circuit) == SUCCESS


def test_a_stream_is_used_once(world):
    circuit = world.circuit()
    stream = circuit.guard_stream(response())
    with stream:
        pass
    with pytest.raises(RuntimeError, match="a guard is entered once"), stream:
        pass


def test_a_stream_that_may_be_no_probe_leaves_the_place_to_another(world):
    circuit = world.half_open()
    with pytest.raises(CircuitOpenError):
        list(circuit.guard_stream([1], probe=False))
    assert circuit.available()


@pytest.mark.parametrize("source", [None, 5])
def test_what_is_no_stream_is_refused(world, source):
    with pytest.raises(TypeError, match="guard_stream\\(\\) takes an iterable"):
        world.circuit().guard_stream(source)

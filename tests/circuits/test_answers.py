"""Fallbacks and ``on_open="return"``: what a caller gets in place of a result."""

from __future__ import annotations

import asyncio
import functools

import pytest

from brama.circuits import CircuitOpenError, State, check_options
from brama.telemetry import ConfigError

pytestmark = pytest.mark.requirement("BR-12")
requirement = pytest.mark.requirement


@pytest.fixture
def circuit(world):
    circuit = world.circuit(failure_threshold=2)
    circuit.open_circuit("deploy", expires_in=30)
    return circuit


def never(*_args, **_kwargs):
    pytest.fail("the call must not be made")


async def anever():
    never()


def down():
    raise OSError("down")


async def adown():
    raise OSError("down")


# Refusals


def test_a_value_is_returned_in_place_of_a_refusal(circuit):
    @circuit(fallback="cached")
    def call():
        never()

    assert call() == "cached"
    assert circuit.status().refused == 1


def test_none_is_a_value_as_well(circuit):
    assert circuit(never, fallback=None)() is None


def test_a_function_is_called_with_the_refusal(circuit):
    seen = []
    assert circuit(never, fallback=lambda error: seen.append(error) or "cached")() == "cached"
    (error,) = seen
    assert isinstance(error, CircuitOpenError)
    assert (error.connection, error.retry_after, error.reason) == ("payment_api", 30.0, "deploy")


@pytest.mark.parametrize("fallback", [lambda: "", list, dict, functools.partial(dict, a=1)])
def test_a_function_that_takes_nothing_is_called_without_the_refusal(circuit, fallback):
    assert circuit(never, fallback=fallback)() == fallback()


def test_a_function_with_any_arguments_gets_the_refusal(circuit):
    fallback = lambda *args, **kwargs: (args, kwargs)  # noqa: E731
    (args, kwargs) = circuit(never, fallback=fallback)()
    assert (type(args[0]), kwargs) == (CircuitOpenError, {})


@pytest.mark.parametrize(
    "fallback", ["cached", lambda error: "cached", lambda: "cached"], ids=["value", "error", "none"]
)
def test_an_async_function_may_have_a_plain_fallback(circuit, fallback):
    assert asyncio.run(circuit(anever, fallback=fallback)()) == "cached"


@pytest.mark.parametrize("wrapper", [False, True], ids=["async", "wrapped"])
def test_an_async_function_may_have_an_async_fallback(circuit, wrapper):
    async def cached(error):
        await asyncio.sleep(0)
        return type(error)

    function = functools.wraps(anever)(lambda: anever()) if wrapper else anever  # noqa: PLW0108
    assert asyncio.run(circuit(function, fallback=cached)()) is CircuitOpenError


def test_a_generator_gets_the_items_of_its_fallback(circuit):
    @circuit(fallback=lambda error: ["cached"])
    def rows():
        never()
        yield

    assert list(rows()) == ["cached"]
    assert list(circuit(rows.__wrapped__, fallback=())()) == []


def test_an_async_generator_gets_the_items_of_its_fallback_in_whatever_form(circuit):
    async def rows():
        never()
        yield

    async def cached():
        yield "cached"

    async def list_of_cached():
        return ["cached"]

    async def collect(fallback):
        return [row async for row in circuit(rows, fallback=fallback)()]

    for fallback in (["cached"], lambda: ["cached"], cached, list_of_cached):
        assert asyncio.run(collect(fallback)) == ["cached"]


def test_a_fallback_stands_in_while_a_probe_is_out_as_well(world):
    circuit = world.half_open()
    call = circuit(lambda: 1, fallback=2)
    probe = circuit.try_acquire()
    assert call() == 2
    probe.success()
    assert call() == 1


def test_an_exception_of_the_fallback_passes_on(circuit):
    with pytest.raises(LookupError, match="no cache"):
        circuit(never, fallback=lambda: (_ for _ in ()).throw(LookupError("no cache")))()


def test_the_refusal_of_another_circuit_inside_is_a_failure_and_not_answered(world):
    front, back = world.circuit("front"), world.circuit("back")
    back.open_circuit()
    with pytest.raises(CircuitOpenError):
        front(back(never), fallback=1)()
    assert front(back(never), fallback=1, fallback_on=CircuitOpenError)() == 1


# Failures


@pytest.mark.parametrize("function", [down, adown], ids=["plain", "async"])
def test_a_failure_is_answered_only_when_asked_for_and_counted_all_the_same(world, function):
    circuit = world.circuit()
    run = asyncio.run if function is adown else lambda result: result
    with pytest.raises(OSError, match="down"):
        run(circuit(function, fallback=1)())
    answered = circuit(function, fallback=str, fallback_on=(OSError, TimeoutError))
    assert run(answered()) == ""
    assert circuit.status().failure_count == 2


def test_the_error_of_a_failure_reaches_the_fallback(world):
    error = OSError("down")

    def call():
        raise error

    assert world.circuit()(call, fallback=lambda error: error, fallback_on=Exception)() is error


def test_an_error_that_is_not_named_passes_on(world):
    with pytest.raises(OSError):
        world.circuit()(down, fallback=1, fallback_on=(ValueError, LookupError))()


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_what_ends_the_caller_is_never_answered(world, error):
    def call():
        raise error

    circuit = world.circuit()
    with pytest.raises(error):
        circuit(call, fallback=1, fallback_on=Exception)()
    assert circuit.status().ignored == 1


def test_a_coroutine_that_a_plain_function_returned_is_answered_when_it_fails(world):
    circuit = world.circuit()
    call = circuit(lambda: adown(), fallback=1, fallback_on=OSError)  # noqa: PLW0108
    assert asyncio.run(call()) == 1
    assert circuit.status().failures == 1


def test_a_generator_is_answered_before_its_first_item_and_not_after_it(world):
    circuit = world.circuit()

    @circuit(fallback=["cached"], fallback_on=OSError)
    def rows(items):
        yield from range(items)
        raise OSError

    assert list(rows(0)) == ["cached"]
    items = rows(2)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(OSError):
        next(items)
    assert circuit.status().failures == 2


def test_an_async_generator_is_answered_before_its_first_item_and_not_after_it(world):
    circuit = world.circuit()

    @circuit(fallback=["cached"], fallback_on=OSError)
    async def rows(items):
        for item in range(items):
            yield item
        raise OSError

    async def main():
        assert [row async for row in rows(0)] == ["cached"]
        seen = []
        with pytest.raises(OSError):
            async for row in rows(2):
                seen.append(row)  # noqa: PERF401 - what came before the error
        assert seen == [0, 1]

    asyncio.run(main())
    assert circuit.status().failures == 2


def test_a_generator_with_a_fallback_passes_sent_and_thrown_values_on(world):
    circuit = world.circuit()

    @circuit(fallback=())
    def echo():
        got = yield "ready"
        try:
            yield got
        except LookupError:
            yield "caught"
        return "end"

    items = echo()
    assert next(items) == "ready"
    assert items.send(5) == 5
    assert items.throw(LookupError()) == "caught"
    with pytest.raises(StopIteration) as end:
        next(items)
    assert end.value.value == "end"
    assert circuit.status().successes == 1


def test_leaving_a_generator_with_a_fallback_is_neutral(world):
    circuit = world.circuit()
    items = circuit(lambda: iter(()), fallback=())
    assert list(items()) == []

    @circuit(fallback=(), fallback_on=Exception)
    def rows():
        yield 1

    rows_ = rows()
    next(rows_)
    rows_.close()
    assert circuit.status().ignored == 1


# Brama's own answer


def test_a_refused_call_returns_brama_s_word_and_the_status(circuit):
    @circuit(on_open="return")
    def call(value):
        return value

    word, status = call(1)
    assert (word, status.state, status.retry_after) == ("error", State.OPEN, 30.0)
    circuit.close_circuit()
    assert call(1) == 1


@pytest.mark.parametrize("wrapper", [False, True], ids=["async", "wrapped"])
def test_a_refused_async_call_returns_it_when_awaited(circuit, wrapper):
    function = functools.wraps(anever)(lambda: anever()) if wrapper else anever  # noqa: PLW0108
    word, status = asyncio.run(circuit(function, on_open="return")())
    assert (word, status.connection) == ("error", "payment_api")


def test_a_failure_is_raised_all_the_same(world):
    with pytest.raises(OSError):
        world.circuit()(down, on_open="return")()


# What stays


def test_an_admitted_call_is_what_it_would_be_without(world):
    circuit = world.circuit()

    @circuit(fallback=0, fallback_on=Exception)
    def add(a: int, *, b: int = 0) -> int:
        """Add."""
        return a + b

    assert add(1, b=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Add.")
    assert circuit.status().successes == 1


def test_brackets_without_options_decorate_as_without_brackets(world):
    circuit = world.circuit()
    assert circuit()(lambda: 1)() == 1
    assert circuit.status().successes == 1


@requirement("BR-R16")
@pytest.mark.parametrize("options", [{"probe": False}, {"probe": False, "fallback": 1}])
def test_a_decorated_function_that_may_be_no_probe_leaves_the_place_to_another(world, options):
    circuit = world.half_open()
    call = circuit(never, **options)
    if "fallback" in options:
        assert call() == 1
    else:
        with pytest.raises(CircuitOpenError):
            call()
    assert circuit.status().half_open_in_flight == 0
    assert circuit.available()


@requirement("BR-R15")
def test_a_nested_call_of_a_function_with_a_fallback_rides_on_the_probe(world):
    circuit = world.half_open()

    @circuit(fallback=None)
    def outer():
        return circuit(lambda: 5, probe=False)()

    assert outer() == 5
    assert circuit.state is State.CLOSED


# Wrong options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on_open": "rais"}, "Did you mean 'raise'?"),
        ({"on_open": "return", "fallback": 1}, "left out beside a fallback"),
        ({"fallback_on": OSError}, "given together with a fallback"),
        ({"fallback": 1, "fallback_on": BaseException}, "classes of Exception"),
        ({"fallback": 1, "fallback_on": "OSError"}, "classes of Exception"),
        ({"fallback": lambda a, b: 1}, "called with the error, or with nothing"),
        ({"probe": "no"}, "probe must be True or False"),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_given(world, options, says):
    with pytest.raises(ConfigError) as caught:
        world.circuit()(**options)
    assert says in str(caught.value)


def test_an_answer_that_does_not_suit_the_function_is_refused_when_it_is_decorated(world):
    circuit = world.circuit()

    def rows():
        yield

    async def arows():
        yield

    for function in (rows, arows):
        with pytest.raises(ConfigError, match="on_open must be 'raise' for generators"):
            circuit(function, on_open="return")
        with pytest.raises(ConfigError, match="fallback must be items"):
            circuit(function, fallback=5)
    with pytest.raises(ConfigError, match="because the guarded one is not async"):
        circuit(down, fallback=adown)


def test_a_plain_function_whose_fallback_turns_out_to_be_async_says_so(circuit):
    with pytest.raises(TypeError, match="make it a plain function, too"):
        circuit(never, fallback=lambda: adown())()  # noqa: PLW0108


@pytest.mark.parametrize("option", ["fallback", "fallback_on", "on_open", "probe"])
def test_an_option_of_calls_is_no_option_of_a_circuit_and_the_error_says_where_it_goes(option):
    with pytest.raises(ConfigError) as caught:
        check_options({option: 1})
    assert f"Give {option} where the call is guarded: @circuit({option}=...)." in str(caught.value)

"""What the outcome of a call means."""

from __future__ import annotations

import asyncio

import pytest
import trio

from brama.circuits import CircuitOpenError, Outcome, State

requirement = pytest.mark.requirement


class Busy(Exception):
    pass


def counts(circuit):
    status = circuit.status()
    return status.successes, status.failures, status.ignored


def raising(circuit, error):
    @circuit
    def call():
        raise error

    with pytest.raises(type(error)):
        call()


@requirement("BR-09")
def test_exceptions_are_named_by_predicates_too(world):
    circuit = world.circuit(
        ignore=lambda error: "404" in str(error), record=[OSError, lambda e: isinstance(e, Busy)]
    )
    for error in (OSError("500"), Busy(), OSError("404"), ValueError("500")):
        raising(circuit, error)
    assert counts(circuit) == (0, 2, 2)


def test_a_predicate_that_raises_is_as_if_it_were_not_there(world, caplog):
    def test(error):
        raise RuntimeError("mine")

    circuit = world.circuit(ignore=test)
    raising(circuit, OSError())
    assert counts(circuit) == (0, 1, 0)
    assert "mine" in caplog.text


def test_an_interrupt_inside_a_predicate_gives_the_permit_back(world):
    def test(error):
        raise KeyboardInterrupt

    circuit = world.half_open(ignore=test)
    with pytest.raises(KeyboardInterrupt):
        circuit.call(int, "no number")
    assert circuit.status().half_open_in_flight == 0
    assert counts(circuit) == (0, 0, 1)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (ExceptionGroup("all neutral", [KeyError(), KeyError()]), (0, 0, 1)),
        (ExceptionGroup("one bad", [KeyError(), OSError()]), (0, 1, 0)),
        (ExceptionGroup("deep", [ExceptionGroup("", [KeyError(), OSError()])]), (0, 1, 0)),
        (BaseExceptionGroup("stopped", [KeyboardInterrupt(), KeyError()]), (0, 0, 1)),
        (BaseExceptionGroup("and bad", [asyncio.CancelledError(), OSError()]), (0, 1, 0)),
    ],
)
def test_a_group_is_as_bad_as_the_worst_in_it(world, group, expected):
    circuit = world.circuit(ignore=KeyError)
    raising(circuit, group)
    assert counts(circuit) == expected


def test_a_group_that_is_named_is_what_it_is_named(world):
    circuit = world.circuit(ignore=ExceptionGroup)
    raising(circuit, ExceptionGroup("", [OSError()]))
    assert counts(circuit) == (0, 0, 1)
    circuit = world.circuit("other", ignore=KeyError, record=ExceptionGroup)
    raising(circuit, ExceptionGroup("", [KeyError()]))
    assert counts(circuit) == (0, 1, 0)


def test_the_refusal_of_another_circuit_is_neutral(world):
    inner, outer = world.circuit("inner"), world.circuit("outer", failure_threshold=1)
    inner.open_circuit()
    guarded = outer(inner(lambda: None))
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            guarded()
    assert outer.state is State.CLOSED
    assert counts(outer) == (0, 0, 3)


def test_the_refusal_of_another_circuit_counts_where_it_is_named(world):
    inner = world.circuit("inner")
    outer = world.circuit("outer", failure_threshold=1, record=(Exception, CircuitOpenError))
    inner.open_circuit()
    with pytest.raises(CircuitOpenError):
        outer(inner(lambda: None))()
    assert outer.state is State.OPEN


# Results


FORMS = {
    "decorated": lambda circuit, value: circuit(lambda: value)(),
    "call": lambda circuit, value: circuit.call(lambda: value),
    "with fallback": lambda circuit, value: circuit(lambda: value, fallback=0)(),
    "judged": lambda circuit, value: circuit.guard().__enter__().judge(value),
    "async": lambda circuit, value: asyncio.run(circuit.acall(answer, value)),
    "async decorated": lambda circuit, value: asyncio.run(circuit(answer)(value)),
}


async def answer(value):
    return value


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


@pytest.mark.parametrize("half_open", [False, True])
def test_a_result_may_be_a_failure(world, form, half_open):
    make = world.half_open if half_open else world.circuit
    circuit = make(record_result=lambda status: status >= 500)
    assert form(circuit, 503) == 503
    assert counts(circuit) == (0, 1, 0)
    assert circuit.state is (State.OPEN if half_open else State.CLOSED)
    assert circuit.why().incidents[-1].reason == "result 503"


@pytest.mark.parametrize("half_open", [False, True])
def test_a_result_that_is_none_is_a_success(world, form, half_open):
    make = world.half_open if half_open else world.circuit
    circuit = make(record_result=lambda status: status >= 500)
    assert form(circuit, 200) == 200
    assert counts(circuit) == (1, 0, 0)
    assert circuit.state is State.CLOSED


WORDS = [
    ("success", (1, 0, 0)),
    ("failure", (0, 1, 0)),
    (("failure", "busy"), (0, 1, 0)),
    ("ignore", (0, 0, 1)),
    (None, (1, 0, 0)),
    (True, (1, 0, 0)),
    (False, (0, 1, 0)),
]


@pytest.mark.parametrize(("word", "expected"), WORDS)
def test_the_words_of_the_elixir_library_classify_a_result(world, form, word, expected):
    circuit = world.circuit(classify=lambda outcome: word)
    form(circuit, 1)
    assert counts(circuit) == expected


@pytest.mark.parametrize("word", ["sucess", 5, ("failure",), ("a", "b", "c")])
def test_another_word_is_logged_and_the_usual_rules_apply(world, word, caplog):
    circuit = world.circuit(classify=lambda outcome: word)
    circuit.call(int)
    raising(circuit, OSError())
    assert counts(circuit) == (1, 1, 0)
    assert "classify answered" in caplog.text


@requirement("BR-09")
def test_classify_sees_exceptions_as_well(world):
    seen: list[Outcome] = []

    def classify(outcome):
        seen.append(outcome)
        return "success" if isinstance(outcome.error, KeyError) else None

    circuit = world.circuit(classify=classify)

    def call(error):
        world.clock.advance(1.5)
        raise error

    for error in (KeyError("404"), OSError()):
        with pytest.raises(type(error)):
            circuit(call)(error)
    assert counts(circuit) == (1, 1, 0)
    assert [(type(outcome.error), outcome.duration) for outcome in seen] == [
        (KeyError, 1.5),
        (OSError, 1.5),
    ]


def test_a_reason_from_classify_is_shown(world):
    circuit = world.circuit(failure_threshold=1, classify=lambda outcome: ("failure", "HTTP 429"))
    circuit.call(int)
    assert circuit.status().reason == "HTTP 429"


# Cancellation


def cancelled(circuit, world, seconds):
    @circuit
    async def call():
        world.clock.advance(seconds)
        await trio.sleep_forever()

    async def main():
        with trio.CancelScope() as scope:
            scope.cancel()
            await call()

    trio.run(main)


def test_a_cancelled_call_is_neutral_however_long_it_took(world):
    circuit = world.circuit(failure_threshold=1)
    cancelled(circuit, world, 1000)
    assert counts(circuit) == (0, 0, 1)


def test_a_call_that_was_cancelled_late_is_a_failure_where_the_policy_says_so(world):
    circuit = world.circuit(failure_threshold=1, cancel_counts_after=5.0)
    cancelled(circuit, world, 4.9)
    assert counts(circuit) == (0, 0, 1)
    cancelled(circuit, world, 5.0)
    assert circuit.state is State.OPEN
    assert circuit.status().reason == "cancelled after 5.0 s"


# Functions of users that answer what nobody can use


class Neither:
    """Like an array: it is neither true nor false, and equal to nothing in particular."""

    def __bool__(self):
        raise ValueError("ambiguous")

    def __eq__(self, other):
        return self

    __hash__ = None


class Unsure:
    def watch(self):
        return lambda outcome: Neither()


@requirement("BR-09")
@pytest.mark.parametrize(
    "options",
    [
        {"record_result": lambda result: Neither()},
        {"classify": lambda outcome: Neither()},
        {"classify": lambda outcome: (Neither(), "reason")},
        {"trip": Unsure()},
    ],
    ids=["record_result", "classify", "pair", "trip"],
)
def test_an_answer_that_is_neither_true_nor_false_is_none(world, options, caplog):
    circuit = world.circuit(**options)
    assert circuit.call(lambda: "result") == "result"
    assert counts(circuit) == (1, 0, 0)
    assert caplog.records


@requirement("BR-09")
def test_a_predicate_that_is_neither_true_nor_false_leaves_the_error_alone(world):
    circuit = world.circuit(ignore=lambda error: Neither())
    raising(circuit, OSError("down"))
    assert counts(circuit) == (0, 1, 0)

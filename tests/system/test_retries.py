"""A retry stands outside, the circuit inside; the other way round its calls count as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import brama

pytestmark = pytest.mark.requirement("BR-R19")


class Upstream:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        raise ConnectionError("down")


@pytest.fixture
def system() -> Iterator[brama.System]:
    with brama.System() as system:
        yield system


def retry(call: Callable[[], None], attempts: int) -> None:
    for left in reversed(range(attempts)):
        try:
            call()
            return
        except brama.CircuitOpenError:
            raise  # it says when to come again: sooner is in vain
        except ConnectionError:
            if not left:
                raise


def test_a_retry_around_the_circuit_ends_with_the_first_refusal(system: brama.System) -> None:
    upstream, circuit = Upstream(), system.circuit("search", failure_threshold=3)
    guarded = circuit(upstream)
    with pytest.raises(brama.CircuitOpenError) as refused:
        retry(guarded, attempts=10)
    assert upstream.asked == 3
    assert refused.value.retry_after is not None
    assert circuit.status().refused == 1


def test_a_retry_that_goes_on_all_the_same_never_reaches_the_upstream(
    system: brama.System,
) -> None:
    upstream, circuit = Upstream(), system.circuit("search", failure_threshold=3, expiry=60.0)
    guarded = circuit(upstream)
    for _ in range(1000):
        with pytest.raises((ConnectionError, brama.CircuitOpenError)):
            guarded()
    assert upstream.asked == 3
    assert circuit.status().opened_count == 1  # refusals are no failures: they reopen nothing


def test_a_retry_within_the_circuit_is_one_call(system: brama.System) -> None:
    upstream, circuit = Upstream(), system.circuit("search", failure_threshold=3)
    guarded = circuit(lambda: retry(upstream, attempts=4))
    with pytest.raises(ConnectionError):
        guarded()
    assert upstream.asked == 4
    assert circuit.status().failure_count == 1

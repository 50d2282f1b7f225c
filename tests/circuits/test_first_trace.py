"""The first span of a process is made as quickly as every other one, where others wait for it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_current_span

from brama.circuits import State, tracing
from brama.circuits.log import Record
from brama.telemetry import providers


@pytest.mark.usefixtures("_tracer_that_looks")
def test_nobody_waits_for_the_lock_while_the_first_tracer_is_loaded(free: list[bool]) -> None:
    data = {
        "previous_state": State.CLOSED,
        "new_state": State.OPEN,
        "reason": None,
        "failure_count": 1,
        "duration": 1.0,
    }
    record: Any = SimpleNamespace(
        traced=False,
        context=Context(),
        evidence=(),
        data=data,
        ruled=None,
        connection="search",
        scope=None,
        wall=1.0,
    )

    context = tracing.trace(cast("Record", record))

    assert context is not None
    assert get_current_span(context).get_span_context().is_valid
    assert free == [True] * max(1, len(free))


@pytest.fixture
def free() -> list[bool]:
    """Whether another thread could have had the lock, at each time that a tracer was made."""
    return []


@pytest.fixture
def _tracer_that_looks(free: list[bool]) -> Any:
    class Looking(TracerProvider):
        def get_tracer(self, *args: Any, **options: Any) -> Any:
            def look() -> None:
                got = tracing._making.acquire(blocking=False)
                if got:
                    tracing._making.release()
                free.append(got)

            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            return super().get_tracer(*args, **options)

    provider = Looking()
    providers.enforce(provider)
    providers.choose(provider, None)
    yield
    providers.withdraw(provider, None)

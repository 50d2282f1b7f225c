"""What all tests share."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import settings

from brama.circuits import Event, Record
from brama.notifier import event_schema
from brama.telemetry import pools

pytest_plugins = ["pytester"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background so, and every program that a test starts would
    # inherit it, also those that are to be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The workers, and the hundreds of interpreters that tests start, would each compile Brama anew: a
# quarter of the suite's work.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis tries the same examples each time, except in `make soak`, which looks for new."""
    same = config.getoption("markexpr") == "not soak"
    settings.register_profile("brama", derandomize=same, deadline=None, print_blob=not same)
    settings.load_profile("brama")


# These begin, so that no worker is left with one of them while the others have nothing to do.
LONG = [
    "demo/test_interrupts.py",
    "demo/test_demo.py",
    "docs/test_examples.py",
    "telemetry/test_collector_down.py",
    "system/test_processes.py",
    "actors/test_process.py",
    "house/test_packaging.py",
    "circuits/test_memory.py",
    "examples/test_programs.py",
    "telemetry/test_workers.py",
    "telemetry/test_checking.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


def pytest_collection_finish() -> None:
    """Have the collector skip thousands of tests that it would search each time a test calls it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """And what the tests of a module have left, which is pytest's: reports, caches, modules."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


_validator = jsonschema.Draft202012Validator(
    event_schema(), format_checker=jsonschema.FormatChecker()
)
_seen: set[tuple[object, ...]] = set()


@pytest.fixture(scope="session")
def check_event() -> Callable[[object], None]:
    """Raises what is wrong, by the published schema, with an event that is a mapping."""
    return _validator.validate


@pytest.fixture(autouse=True)
def names_in_metrics() -> None:
    """The first two hundred of a process have their own: here the first of a test."""
    pools.reset()


@pytest.fixture(autouse=True)
def every_event_follows_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever event a test brings about is held against the published schema.

    Once for each shape: kind, and types of the fields and of the data.
    """
    made = Record.event

    @functools.wraps(made)
    def event(self: Record, *args: Any, **kwargs: Any) -> Event:
        event = made(self, *args, **kwargs)
        fields = {**event.__dict__, **event.data}
        shape = (event.event, *((name, type(value)) for name, value in fields.items()))
        if shape not in _seen:
            problems = [str(problem) for problem in _validator.iter_errors(event.to_dict())]
            if problems:  # raised where it can be seen: the registry would only log it
                pytest.fail("\n".join(problems))
            _seen.add(shape)
        return event

    monkeypatch.setattr(Record, "event", event)

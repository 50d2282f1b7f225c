"""Systems that a test makes and somebody stops."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

import brama
from brama import default as module

WITHIN = 10.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for what only another thread can bring about and nothing announces."""
    ticks = threading.Event()
    for _ in range(int(WITHIN / 0.005)):
        if condition():
            return
        ticks.wait(0.005)
    raise AssertionError("it did not come true in time")


@pytest.fixture
def system() -> Iterator[brama.System]:
    system = brama.System(brama.Settings())
    yield system
    system.stop()


@pytest.fixture
def default(monkeypatch: pytest.MonkeyPatch) -> Iterator[brama.System]:
    """A default system that only this test knows."""
    monkeypatch.setattr(module, "_default", None)
    for variable in list(os.environ):
        if variable.startswith("BRAMA_"):
            monkeypatch.delenv(variable)
    system = brama.default_system()
    yield system
    system.stop()


@pytest.fixture(name="until")
def _until() -> Callable[[Callable[[], bool]], None]:
    return until


@pytest.fixture
def new_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a new interpreter with these ``BRAMA_*`` variables and no others."""

    def new_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {n: t for n, t in os.environ.items() if not n.startswith(("BRAMA_", "OTEL_"))}
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            env=kept | variables,
            timeout=30,
        )

    return new_python

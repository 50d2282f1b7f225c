"""Importing Brama costs next to nothing and starts nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest

from .parts import ROOT

HEAVY = [
    "aiohttp",
    "grpc",
    "httpx",
    "requests",
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "rich",
    "typer",
]


def run(code: str) -> object:
    """What a fresh interpreter prints, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_starts_no_thread() -> None:
    assert run("import brama, threading; print(len(threading.enumerate()))") == 1


def test_import_loads_no_heavy_module() -> None:
    loaded = run("import brama, json, sys; print(json.dumps(list(sys.modules)))")

    assert isinstance(loaded, list)
    assert [name for name in HEAVY if name in loaded] == []


def test_import_of_every_part_loads_no_heavy_module() -> None:
    loaded = run(
        "import brama.actors, brama.circuits, brama.notifier, brama.telemetry, json, sys;"
        "print(json.dumps(list(sys.modules)))"
    )

    assert isinstance(loaded, list)
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.soak
def test_import_takes_at_most_a_quarter_second() -> None:
    # The processor's time: on an idle machine it is what one waits, and on a busy one the clock
    # would tell of the others.
    code = "import time; t = time.process_time(); import brama; print(time.process_time() - t)"
    seconds = [run(code) for _ in range(5)]

    assert min(s for s in seconds if isinstance(s, float)) <= 0.25


def test_version_is_said_once() -> None:
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]

    assert metadata.version("brama") == said
    assert run("import brama, json; print(json.dumps(brama.__version__))") == said

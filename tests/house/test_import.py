"""Importing Brama costs next to nothing and starts nothing."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest

import brama

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


def run(code: str, **environment: str) -> object:
    """What a fresh interpreter prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return json.loads(done.stdout)


def test_import_starts_no_thread() -> None:
    assert run("import brama, threading; print(len(threading.enumerate()))") == 1


def test_import_loads_no_heavy_module() -> None:
    loaded = run("import brama, json, sys; brama.circuit; print(json.dumps(list(sys.modules)))")

    assert isinstance(loaded, list)
    assert [name for name in HEAVY if name in loaded] == []


def test_import_loads_no_part_before_a_name_is_asked_for() -> None:
    loaded = run("import brama, json, sys; print(json.dumps(list(sys.modules)))")

    assert isinstance(loaded, list)
    assert [name for name in loaded if name.startswith(("brama.", "trio", "opentelemetry"))] == []


def test_a_part_is_found_without_an_import_of_its_own() -> None:
    parts = ["telemetry", "actors", "circuits", "notifier", "settings", "system", "words"]
    said = run(
        f"import brama, json;print(json.dumps([getattr(brama, part).__name__ for part in {parts}]))"
    )

    assert said == [f"brama.{part}" for part in parts]


@pytest.mark.parametrize("part", ["actors", "circuits", "notifier"])
def test_a_part_may_be_the_first_to_be_imported(part: str) -> None:
    assert run(f"import brama.{part}, json; print(json.dumps(brama.{part}.__name__))")


def test_every_name_is_what_a_type_checker_believes_it_to_be() -> None:
    module = ast.parse((ROOT / "src/brama/__init__.py").read_text(encoding="utf-8"))
    [believing] = [
        node.body
        for node in module.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    ]
    believed = {}
    for node in believing:
        if isinstance(node, ast.ImportFrom):
            home = import_module(f"brama.{node.module}" if node.level else str(node.module))
            believed |= {alias.name: getattr(home, alias.name) for alias in node.names}

    assert {name: getattr(brama, name) for name in brama.__all__} == believed


def test_an_adapter_finds_the_default_system_that_nobody_has_asked_for() -> None:
    said = run(
        "import json; from brama.circuits.provider import default_home;"
        "found = default_home(); import brama;"
        "print(json.dumps(found is brama.default_system()))"
    )

    assert said is True


def test_a_star_brings_every_public_name() -> None:
    missing = run(
        "import json; from brama import *; import brama;"
        "print(json.dumps([name for name in brama.__all__ if name not in globals()]))"
    )

    assert missing == []


def test_what_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'brama' has no attribute 'cirquit'"):
        getattr(brama, "cirquit")  # noqa: B009 - a type checker would see it


def test_dir_names_what_has_not_been_asked_for_yet() -> None:
    said = run("import brama, json; print(json.dumps(dir(brama)))")

    assert isinstance(said, list)
    assert {*brama.__all__, "circuits", "notifier", "__version__"} <= {*said}


def test_import_of_every_part_loads_no_heavy_module() -> None:
    loaded = run(
        "import brama.actors, brama.circuits, brama.notifier, brama.telemetry, json, sys;"
        "print(json.dumps(list(sys.modules)))"
    )

    assert isinstance(loaded, list)
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.soak
def test_import_takes_at_most_a_quarter_second(tmp_path: Path) -> None:
    # The processor's time: on an idle machine it is what one waits, and on a busy one the clock
    # would tell of the others.
    code = (
        "import time; t = time.process_time(); import brama; brama.circuit;"
        "print(time.process_time() - t)"
    )
    # With bytecode, as an installation has it.
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    seconds = [run(code, **compiled) for _ in range(5)]

    assert min(s for s in seconds if isinstance(s, float)) <= 0.25


def test_version_is_said_once() -> None:
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]

    assert metadata.version("brama") == said
    assert run("import brama, json; print(json.dumps(brama.__version__))") == said

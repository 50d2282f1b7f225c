"""The command `brama` beside its demonstration."""

from __future__ import annotations

import subprocess
import sys

import pytest

import brama

from .conftest import Start


def test_version(start: Start) -> None:
    done = start("--version")

    assert (done.returncode, done.stdout) == (0, f"brama {brama.__version__}\n")


def test_the_package_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "brama", "--version"], capture_output=True, text=True
    )

    assert (done.returncode, done.stdout) == (0, f"brama {brama.__version__}\n")


def test_help_names_the_demo_and_its_options(start: Start) -> None:
    assert "demo" in start("--help").stdout
    shown = start("demo", "--help").stdout
    assert all(option in shown for option in ("--duration", "--seed", "--json"))


@pytest.mark.parametrize("missing", ["rich", "typer"])
def test_without_the_extra_one_line_says_how_to_install_it(start: Start, missing: str) -> None:
    done = start("demo", prelude=f"import sys; sys.modules[{missing!r}] = None")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "The command brama needs its extra; install it with: pip install 'brama[cli]'"
    ]


def test_a_duration_that_is_too_short_is_refused(start: Start) -> None:
    done = start("demo", "--duration", "1")

    assert done.returncode == 2
    assert "--duration" in done.stderr


def test_a_wrong_variable_is_one_line_that_names_it(start: Start) -> None:
    done = start("demo", OTEL_EXPORTER_OTLP_ENDPOINT="nonsense")

    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in done.stderr

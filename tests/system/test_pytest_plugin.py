"""The fixtures that pytest finds once Brama is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import brama
from brama import pytest_plugin
from brama.circuits.testing import assert_circuit_half_open, assert_circuit_open

USERS = """
import pytest
import brama
from brama.circuits.testing import assert_circuit_open

outside = brama.default_system()


def test_a_system_of_its_own(brama_system, brama_clock, brama_events):
    assert brama.default_system() is brama_system is not outside
    api = brama.circuit("api", failure_threshold=1, expiry=60)
    api.failure("Timeout")
    assert_circuit_open("api")
    brama_clock.advance(60)
    assert api.available()
    assert "circuit_opened" in [event.event for event in brama_events.wait(4)]


def test_nothing_is_left_of_it():
    assert brama.default_system() is outside
    assert outside.find("api") is None


def test_all_circuits_out_of_the_way(brama_deactivated):
    api = brama.circuit("other", failure_threshold=1)
    api.failure()
    assert api.call(int) == 0
"""


def test_the_plugin_is_an_entry_point():
    (plugin,) = (one for one in entry_points(group="pytest11") if one.name == "brama")
    assert plugin.load() is pytest_plugin


@pytest.mark.requirement("BR-22")
def test_users_find_the_fixtures_in_a_plain_pytest(tmp_path: Path):
    (tmp_path / "test_users.py").write_text(USERS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_fixtures_work_here_too(brama_system, brama_clock):
    circuit = brama.circuit("api", expiry=5)
    circuit.open_circuit()
    assert_circuit_open("api")
    brama_clock.advance(5)
    assert_circuit_half_open(circuit)

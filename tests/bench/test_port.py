"""Ports: programs that work on request."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator

import pytest
from bench.contest import WorkNotDone
from bench.port import Port, port

PROGRAM = """
import sys
from collections.abc import Generator
print("one 1.0", flush=True)
for line in sys.stdin:
    command, times = line.split()
    if command == "die":
        sys.exit(3)
    print(int(times) * 500, int(times) - (command == "lose"), flush=True)
"""


def test_a_program_that_is_not_installed_is_no_port() -> None:
    with port("no-such-program", "processes.escript") as found:
        assert found is None


@pytest.fixture
def program() -> Generator[Port, None, None]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield Port(process)
        assert process.stdin is not None
        process.stdin.close()


def test_a_contender_of_a_port_has_the_times_and_counts_that_the_program_gives(
    program: Port,
) -> None:
    told = program.contender("beam", "tell")

    assert program.version == "one 1.0"
    assert told.run(100) == pytest.approx(500e-9)
    told.run(20)
    assert told.done() == 120


def test_work_that_a_program_has_lost_shows_in_its_count(program: Port) -> None:
    told = program.contender("beam", "lose")
    told.run(100)

    assert told.done() == 99
    with pytest.raises(WorkNotDone, match="made 9 of 10"):
        program.weight("beam", "lose", 10).run(1)


def test_one_time_may_stand_for_several_of_the_work(program: Port) -> None:
    dispatched = program.contender("beam", "dispatch", size=10)

    # Ten deliveries for each event: the program is asked for 5, and says what 5 took.
    assert dispatched.run(50) == pytest.approx(50e-9)


def test_a_program_that_ends_is_an_error(program: Port) -> None:
    with pytest.raises(WorkNotDone, match="ended with 3"):
        program.ask("die", 1)

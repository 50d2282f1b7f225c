"""A journal around a fork: the child opens it afresh and never touches what it inherited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

import brama
from brama.notifier import JournalOptions, Replay, Trail

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

PRELUDE = """
import json, os, sys, threading
from pathlib import Path
import brama
from brama.notifier import JournalOptions, Replay, verify

path = Path(sys.argv[1])

def make():
    options = JournalOptions(path, poll_interval=0.02, busy_timeout=0.2)
    return brama.System(brama.Settings(journal=options))

def events():
    return [(e.source, e.connection, e.seq) for e in Replay(path, events=["circuit_opened"])]

def in_child(work):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture
def run(path):
    """Runs a program in an interpreter of its own, which may fork as it likes."""

    def run(program: str) -> object:
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(program), str(path)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return json.loads(done.stdout)

    return run


def test_parent_and_child_write_under_names_of_their_own(run):
    assert run("""
        system = make()
        circuit = system.circuit("search")
        circuit.open_circuit()
        circuit.close_circuit()
        assert system.flush()

        def work():
            assert system.journal.source == ""
            circuit.open_circuit()
            assert system.flush()
            assert system.health().status == "ok", system.health()
            system.stop()

        in_child(work)
        circuit.open_circuit()
        assert system.flush()
        system.stop()
        print(json.dumps([events(), verify(path).ok]))
    """) == [
        [["brama-1", "search", 2], ["brama-2", "search", 2], ["brama-1", "search", 6]],
        True,
    ]


def test_many_forks_in_the_middle_of_writing_leave_a_sound_file(run):
    assert run("""
        system = make()
        system.start()
        done = threading.Event()

        def write():
            circuit = system.circuit("parent")
            while not done.is_set():
                circuit.open_circuit()
                circuit.close_circuit()
                system.flush()

        writer = threading.Thread(target=write)
        writer.start()
        for number in range(8):
            def work():
                for turn in range(3):
                    system.circuit(f"child {number}").open_circuit()
                    system.circuit(f"child {number}").close_circuit()
                assert system.flush()
                system.stop()
            in_child(work)
        done.set()
        writer.join()
        system.stop()
        report = verify(path)
        children = [e for e in events() if e[1].startswith("child")]
        print(json.dumps([report.ok, len(children), len({e[1] for e in children})]))
    """) == [True, 24, 8]


def test_what_waited_at_the_fork_is_written_once_and_by_the_parent(run):
    assert run("""
        import sqlite3
        system = make()
        circuit = system.circuit("search")
        circuit.open_circuit("before")
        assert system.flush()
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        circuit.close_circuit("waits")
        assert not system.flush(0.2)

        def work():
            pass

        child = os.fork()
        if child == 0:
            # The file of the parent's connection `holder` must not be touched here.
            assert system.journal.status().waiting == 0
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        holder.execute("ROLLBACK")
        assert system.flush(20)
        reasons = [e.data["reason"] for e in system.replay(events=["state_change"])]
        system.stop()
        print(json.dumps(reasons))
    """) == ["before", "waits"]


def test_a_durable_subscription_stays_with_the_parent_while_that_lives(run):
    assert run("""
        heard = []
        arrived = threading.Event()

        def hear(event):
            heard.append((os.getpid() == parent, event.connection))
            if event.connection == "parent":
                arrived.set()

        parent = os.getpid()
        system = make()
        system.start()
        system.subscribe(hear, durable="pager", events=["circuit_opened"])
        system.circuit("first").open_circuit()
        assert system.flush()

        def work():
            system.circuit("child").open_circuit()
            assert system.flush()
            assert not any(mine for mine, _ in heard[1:])
            assert system.journal.status().durable == {"pager": False}
            system.stop()

        in_child(work)
        system.circuit("parent").open_circuit()
        assert arrived.wait(10)
        system.stop()
        print(json.dumps(heard))
    """) == [[True, "first"], [True, "child"], [True, "parent"]]


def test_a_journal_that_may_not_be_written_is_read_once_its_writers_are_gone():
    """In a child without the rights of root, for whom a file that is read-only is none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "journal #1.sqlite"
        options = JournalOptions(path)
        with brama.System(brama.Settings(), journal=options) as system:
            system.circuit("search").open_circuit()
            assert system.flush()
            expected = [one.event for one in system.replay()]
        assert [file.name for file in folder.iterdir()] == [path.name]
        path.chmod(0o444)
        folder.chmod(0o555)
        to_read, to_write = os.pipe()
        child = os.fork()
        if not child:
            status = 1
            try:
                if os.getuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                assert not os.access(path, os.W_OK)
                found = [one.event for one in Replay(path)] + [one.entry for one in Trail(path)]
                os.write(to_write, " ".join(found).encode())
                status = 0
            finally:
                os._exit(status)
        os.close(to_write)
        with os.fdopen(to_read) as answer:
            found = answer.read().split()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        folder.chmod(0o755)
    assert found[: len(expected)] == expected
    assert "writer_left" in found

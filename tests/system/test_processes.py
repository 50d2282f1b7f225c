"""Forks and exits of the process, each in a process of its own."""

from __future__ import annotations

import os
import time

import pytest

requirement = pytest.mark.requirement
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

FORK = """
import os, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import brama
from brama.notifier import inline

system = brama.default_system()
circuit = brama.circuit("search", failure_threshold=2, expiry=3600)
seen, there = [], threading.Event()
brama.subscribe(inline(lambda e: (seen.append(e), there.set())), events=["circuit_opened"])
stream = brama.events(events=["circuit_opened"])
brama.circuit("other").open_circuit()
assert there.wait(10)
parent = stream.get(10)
there.clear(); seen.clear()
epoch = circuit._breaker.epoch
child = os.fork()
if child == 0:
    status = 1
    try:
        assert threading.active_count() == 1
        assert not brama.available("other")                # it protects
        assert circuit._breaker.epoch > epoch              # and counts anew
        circuit.failure(); circuit.failure("in the child")
        assert there.wait(10)                              # its own thread, started afresh
        (event,) = seen
        assert event.connection == "search" and event.data["reason"] == "in the child"
        assert event.epoch == circuit._breaker.epoch and event.seq == 2
        assert event.event_id.split("-")[0] != parent.event_id.split("-")[0]
        again = stream.get(10)                             # the stream came along, too
        assert again.event_id == event.event_id
        assert system.health().status == "ok", system.health()
        assert system.stop().complete
        status = 0
    finally:
        import traceback, sys
        if status:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert not there.is_set() and circuit.state is brama.State.CLOSED
assert circuit._breaker.epoch == epoch
circuit.open_circuit()
assert there.wait(10)
assert seen[0].epoch == epoch
print("fine")
"""


@forks
@requirement("BR-R13", "actors:embedding")
def test_a_forked_child_protects_and_starts_afresh_and_the_parent_notices_nothing(new_python):
    done = new_python(FORK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


BUSY = """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import brama

system = brama.System(brama.Settings())
circuits = [system.circuit(f"c{n}", failure_threshold=2) for n in range(8)]
system.subscribe(lambda event: None)
stop = threading.Event()

def traffic(circuit):
    while not stop.is_set():
        circuit.failure(); circuit.success()

threads = [threading.Thread(target=traffic, args=(c,), daemon=True) for c in circuits[:4]]
for thread in threads: thread.start()
for _ in range(15):
    child = os.fork()
    if child == 0:
        for circuit in circuits:             # every lock is free, and every call is decided
            circuit.open_circuit()
            assert circuit.try_acquire() is None
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
stop.set()
system.stop()
print("fine")
"""


FORK_WHILE_MADE = """
import os, signal, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import brama
from brama import default

System = default.System
making, go = threading.Event(), threading.Event()

def slowly():
    making.set()
    go.wait(10)
    return System()

default.System = slowly
thread = threading.Thread(target=brama.default_system)
thread.start()
assert making.wait(10)
child = os.fork()
if child == 0:
    signal.alarm(10)                        # a lock that nobody gives back is waited for forever
    default.System = System
    os._exit(0 if brama.circuit("search").available() else 1)
go.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), brama.default_system().circuits())
"""


@forks
def test_a_child_that_is_forked_while_the_default_system_is_made_makes_its_own(new_python):
    done = new_python(FORK_WHILE_MADE)
    assert (done.stdout, done.stderr) == ("0 ()\n", "")


@forks
@requirement("BR-R13")
def test_forks_under_load_leave_no_lock_behind(new_python):
    done = new_python(BUSY)
    assert (done.returncode, done.stdout) == (0, "fine\n")
    assert "Traceback" not in done.stderr  # it may well say that the load was too much


FORKS_AT_ONCE = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import brama

sys.setswitchinterval(1e-5)
systems = [brama.System() for _ in range(20)]
circuit = systems[0].circuit("search")
statuses, stop = [], threading.Event()

def forks():
    for _ in range(15):
        child = os.fork()
        if child == 0:
            circuit.open_circuit()
            os._exit(0 if circuit.try_acquire() is None else 1)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

def makes():
    while not stop.is_set():
        brama.System()                       # comes and goes while others fork

threads = [threading.Thread(target=forks) for _ in range(3)]
maker = threading.Thread(target=makes)
for thread in (maker, *threads): thread.start()
for thread in threads: thread.join()
stop.set(); maker.join()
circuit.open_circuit()                       # the parent has its locks back, each once
print(set(statuses), len(statuses), circuit.state)
"""


@forks
def test_threads_that_fork_at_once_give_each_lock_back_once(new_python):
    done = new_python(FORKS_AT_ONCE)
    assert (done.stdout, done.stderr) == ("{0} 45 open\n", "")


EXIT = """
import threading, brama
there = threading.Event()
brama.subscribe(lambda event: there.set(), events=["circuit_opened"])
brama.circuit("search").open_circuit()
assert there.wait(10)
"""


@requirement("actors:embedding")
@pytest.mark.parametrize(
    "last",
    [
        "",
        "brama.default_system().stop()",
        "brama.circuit('more').open_circuit()",
        "stream = brama.events()\n"
        "threading.Thread(target=lambda: list(stream), daemon=True).start()",
        "brama.subscribe(lambda e: threading.Event().wait(), events=['circuit_closed']);"
        "brama.close_circuit('search')",
    ],
    ids=["idle", "stopped", "under way", "a waiting stream", "a stuck handler"],
)
def test_a_process_exits_in_time_and_without_a_word(new_python, last):
    began = time.monotonic()
    done = new_python(EXIT + last)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - began < 3  # two seconds for the exit, one to get there


def test_calls_at_exit_are_still_guarded(new_python):
    done = new_python(
        "import atexit, brama\n"
        "atexit.register(lambda: print(brama.circuit('late').call(lambda: 'served')))\n"
        "brama.default_system().start()\n"
        "brama.circuit('late').failure()\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "served\n", "")


INHERITED = """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import brama
from brama.notifier import inline

system = brama.default_system()
there = threading.Event()
brama.subscribe(inline(lambda e: there.set()), events=["circuit_half_opened"], connection="old")
old = brama.circuit("old", expiry=0.5)
heart = brama.circuit("feed").heartbeat(every=0.05)
old.open_circuit()
child = os.fork()
if child == 0:
    status = 1
    try:
        assert heart.closed and threading.active_count() == 1
        brama.circuit("new").open_circuit()     # the first use: the child's own thread starts
        assert there.wait(10)                   # and times what was open before the fork
        assert old.state is brama.State.HALF_OPEN
        assert brama.circuit("feed").status().failures == 0
        status = 0
    finally:
        os._exit(status)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert there.wait(10) and not heart.closed
system.stop()
print("fine")
"""


@forks
@requirement("BR-R13")
def test_a_forked_child_times_what_it_inherited_open_and_hears_no_heartbeats(new_python):
    done = new_python(INHERITED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


@pytest.mark.parametrize("last", ["", "brama.default_system().stop()"], ids=["exit", "stop"])
def test_a_program_that_ends_at_once_has_told_of_what_it_did(new_python, last):
    done = new_python(
        f"""
import brama
from brama.notifier import inline
circuit = brama.circuit("search")
brama.subscribe(inline(lambda e: print(e.event, flush=True)), events=["circuit_*"])
circuit.open_circuit()
circuit.close_circuit()
{last}
"""
    )
    assert (done.stdout, done.stderr) == ("circuit_opened\ncircuit_closed\n", "")

"""A disk that is full, in a process of its own: the limit on the size of files is the process's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("resource")

PROGRAM = """
import json, os, resource, signal, sys
import brama
from pathlib import Path

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
system = brama.System(brama.Settings(journal=path, failure_threshold=1))
circuit = system.circuit("search")
with brama.acting_as("ana"):
    circuit.open_circuit("first")
assert system.flush()
size = os.path.getsize(f"{path}-wal") + 20_000
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
for number in range(500):
    circuit.close_circuit()
    circuit.open_circuit(str(number))
full = system.flush(0.5), system.health().status
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
after = system.flush(20), system.health().status
orders = [entry.by for entry in system.trail(entries=["order_given"])]
changes = sum(1 for _ in system.replay(events=["state_change"]))
system.stop()
sound = brama.notifier.verify(path).ok
print(json.dumps([full, after, len(orders), orders[0], changes, sound]))
"""


@pytest.mark.requirement("AU-01")
def test_orders_and_events_wait_for_a_disk_that_is_full_and_none_is_missing(path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    full, after, *rest = json.loads(done.stdout)
    assert full == [False, "degraded"]
    assert after == [True, "ok"]
    assert rest == [1001, "ana", 1001, True]

"""A program that kills processes while they write one journal, and counts what is missing.

``python killing.py FOLDER ROUNDS SEED``: in each round two processes share the file; each is killed
(SIGKILL) at a random instant after its first acknowledged write, four times out of five in the
middle of a transaction. Then a last one hears what the durable subscription has not heard yet. It
prints what it saw as JSON.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import brama
from brama.notifier import JournalOptions, Replay, verify

LANES = "ab"
DURABLE = "proof"


class Counters:
    """Begun and acknowledged turns of one process, in memory that outlives it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    def get(self) -> tuple[int, int]:
        return struct.unpack("qq", self._memory[:16])

    def set(self, begun: int, acknowledged: int) -> None:
        self._memory[:16] = struct.pack("qq", begun, acknowledged)


def make_system(path: Path) -> brama.System:
    options = JournalOptions(path, poll_interval=0.01, max_age=None)
    return brama.System(brama.Settings(journal=options))


def write(path: Path, stage: int, lane: str, counters: Counters) -> None:
    """Write for ever, and tell what was acknowledged."""
    log = os.open(path.with_name(f"heard-{stage:03}-{lane}"), os.O_CREAT | os.O_WRONLY)

    def hear(event: brama.Event) -> None:
        os.write(log, f"{event.event_id} {int(event.redelivered)} {event.n}\n".encode())

    system = make_system(path)
    system.subscribe(hear, durable=DURABLE, events=["state_change"])
    circuit = system.circuit(lane)
    turn = acknowledged = 0
    while True:
        for _ in range(random.randint(1, 40)):
            turn += 1
            counters.set(turn, acknowledged)
            circuit.open_circuit(f"{stage} {lane} {turn}")
            circuit.close_circuit(f"{stage} {lane} {turn}")
        if system.flush(30):
            acknowledged = turn
            counters.set(turn, acknowledged)


def start(path: Path, stage: int, lane: str) -> tuple[int, Counters]:
    counters = Counters()
    child = os.fork()
    if child == 0:
        try:
            random.seed(stage * 2 + LANES.index(lane))
            write(path, stage, lane, counters)
        finally:
            os._exit(1)
    return child, counters


FLOCK = "hhqqi4x"
WRITE_LOCK = 120
"""The byte of SQLite's shared memory that is locked by whoever has a write transaction open."""


def writer(path: Path) -> int:
    """The process that has a write transaction open, as the operating system knows it; or 0.

    On Linux only, whose form of the question this is.
    """
    with path.with_name(f"{path.name}-shm").open("rb+") as shared:
        question = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, WRITE_LOCK, 1, 0)
        kind, *_, holder = struct.unpack(FLOCK, fcntl.fcntl(shared, fcntl.F_GETLK, question))
    return 0 if kind == fcntl.F_UNLCK else holder


def kill(path: Path, child: int) -> bool:
    """Kill at a random instant; whether a transaction of the child was open then."""
    time.sleep(random.uniform(0, 0.05))
    patience = random.choice([0, 2, 2, 2, 2])  # one in five is not aimed at all
    deadline = time.monotonic() + patience
    while True:
        os.kill(child, signal.SIGSTOP)
        os.waitpid(child, os.WUNTRACED)
        writing = writer(path) == child
        if writing or time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return writing
        os.kill(child, signal.SIGCONT)
        time.sleep(random.uniform(0, 0.003))


def hear_the_rest(path: Path) -> None:
    """Take over the durable subscription until it has come to the end."""
    log = os.open(path.with_name("heard-999"), os.O_CREAT | os.O_WRONLY)
    last = Replay(path, events=["state_change"]).last(1)[0].read().event_id
    seen = [told.id for told in heard(path)]

    def hear(event: brama.Event) -> None:
        os.write(log, f"{event.event_id} {int(event.redelivered)} {event.n}\n".encode())
        seen.append(event.event_id)

    with make_system(path) as system:
        system.subscribe(hear, durable=DURABLE, events=["state_change"])
        deadline = time.monotonic() + 60
        while last not in seen and time.monotonic() < deadline:
            time.sleep(0.01)


class Told(NamedTuple):
    """One call of the handler."""

    id: str
    redelivered: bool
    n: int


def heard(path: Path) -> list[Told]:
    """All calls of the handler, process by process."""
    calls: list[Told] = []
    for log in sorted(path.parent.glob("heard-*")):
        for line in log.read_text().splitlines():
            id, redelivered, n = line.split()
            calls.append(Told(id, redelivered == "1", int(n)))
    return calls


def main(folder: Path, rounds: int, seed: int) -> dict[str, object]:
    random.seed(seed)
    path = folder / "journal.sqlite"
    kills = under_way = missing = promised = 0
    reasons_due: set[str] = set()
    for stage in range(rounds):
        children = {lane: start(path, stage, lane) for lane in LANES}
        for lane, (child, counters) in random.sample(list(children.items()), 2):
            while counters.get()[1] == 0:
                time.sleep(0.001)
            under_way += kill(path, child)
            _, acknowledged = counters.get()
            kills += 1
            promised += acknowledged
            reasons_due |= {f"{stage} {lane} {turn}" for turn in range(1, acknowledged + 1)}
    hear_the_rest(path)
    counts: dict[str, int] = {}
    for event in Replay(path):
        if event.critical:
            reason = str(event.data["reason"])
            counts[reason] = counts.get(reason, 0) + 1
    missing = sum(counts.get(reason, 0) != 4 for reason in reasons_due)
    changes = [event.event_id for event in Replay(path, events=["state_change"])]
    told = heard(path)
    ids = {call.id for call in told}
    report = verify(path)
    return {
        "kills": kills,
        "under_way": under_way,
        "acknowledged": promised,
        "missing": missing,
        "sound": report.ok,
        "findings": [finding.text for finding in report.findings],
        "events": report.events,
        "sources": report.sources,
        "unheard": len(set(changes) - ids),
        "strangers": len(ids - set(changes)),
        "heard_again": len(told) - len(ids),
        "unmarked_repeats": unmarked_repeats(told),
        "out_of_order": out_of_order(told, changes),
    }


def out_of_order(told: list[Told], changes: list[str]) -> int:
    """Events that came for the first time before one that is earlier in the file."""
    # The calls of several processes are one sequence by the number of the delivery.
    first: dict[str, int] = {}
    for call in told:
        first[call.id] = min(first.get(call.id, call.n), call.n)
    place = {id: number for number, id in enumerate(changes)}
    order = [place[id] for id in sorted(first, key=lambda id: first[id])]
    return sum(one > two for one, two in pairwise(order))


def unmarked_repeats(told: list[Told]) -> int:
    """Events that came more than once without saying so."""
    unmarked = Counter(call.id for call in told if not call.redelivered)
    return sum(count - 1 for count in unmarked.values())


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

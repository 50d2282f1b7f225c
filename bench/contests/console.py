"""What a console asks of very many circuits: a glance at all, a page, and what has changed."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from bench.child import child
from bench.contest import Contender, Contest, Scale, WorkNotDone, agree

__all__ = ["CONSOLE"]

MANY = 100_000
ASKED = 15
"""Looks of each kind; the sample is their median."""

LOOKED = """
import gc, json, sys, threading, time
import brama
size, share, asked = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
clock = time.perf_counter
with brama.System() as system:
    system.start()
    circuits = [system.circuit(f"connection-{number}") for number in range(size)]
    opened = max(1, int(size * share))
    for circuit in circuits[:opened]:
        circuit.open_circuit(expires_in=1e6)
    for circuit in circuits[opened::20]:
        circuit.failure("HTTP 503")
    while len(system._bells.actors) < opened or not system._bells.published():
        time.sleep(0.01)
    gc.collect()
    gc.freeze()  # a service that has stood for a while collects little

    gaps, over = [], False
    def other():
        last = clock()
        while not over:
            time.sleep(0.0005)
            now = clock()
            gaps.append(now - last)
            last = now
    def timed(look):
        took = []
        for _ in range(asked):
            began = time.thread_time()  # others may have the core in between
            said = look()
            took.append(time.thread_time() - began)
        return sorted(took)[asked // 2], said
    def anew():
        # As nobody had looked before: how many each pool has is to be counted.
        system._survey._residents = None
        return system.overview()
    first, _ = timed(anew)
    overview, seen = timed(system.overview)
    listing, page = timed(system.listing)
    query, _ = timed(lambda: system.listing(query="77"))
    away, _ = timed(lambda: system.listing(state="open"))
    circuits[0].close_circuit()
    for circuit in circuits[1:101]:
        circuit.open_circuit(expires_in=1e6)
        circuit.close_circuit()
    changes, news = timed(lambda: system.changes(seen.version))
    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(asked):
        system.overview()
    over = True
    thread.join()
    print(json.dumps({
        "size": size, "circuits": seen.circuits, "matching": page.matching,
        "opened": opened, "open": seen.states["open"], "changed": len(news.circuits),
        "first": first, "overview": overview, "listing": listing, "query": query, "away": away,
        "changes": changes, "gap": max(gaps),
    }))
"""


@contextmanager
def looked(scale: Scale) -> Generator[list[Contender], None, None]:
    size = int(MANY * scale.size)
    runs: dict[tuple[float, int], dict[str, Any]] = {}

    def run_of(share: float, number: int) -> dict[str, Any]:
        found = runs.get((share, number))
        if found is None:
            found = runs[share, number] = child(LOOKED, size, share, ASKED)
            agree("circuits", asked=size, seen=found["circuits"], matching=found["matching"])
            agree("open circuits", opened=found["opened"], seen=found["open"])
            if found["changed"] != 101:
                raise WorkNotDone(f"{found['changed']} of 101 changes were told")
        return found

    def contender(name: str, what: str, share: float) -> Contender:
        done = 0

        def run(_times: int) -> float:
            nonlocal done
            sample = float(run_of(share, done)[what])
            done += 1
            return sample

        return Contender(name, run, lambda: done, times=1, compared=False)

    yield [
        contender("brama", "overview", 0.01),
        contender("the first", "first", 0.01),
        contender("a tenth open", "overview", 0.1),
        contender("all open", "overview", 1.0),
        contender("the first, all open", "first", 1.0),
        contender("another thread waits", "gap", 0.01),
        contender("a page", "listing", 0.01),
        contender("a page of a query", "query", 0.01),
        contender("a page of the open", "away", 0.01),
        contender("101 changes", "changes", 0.01),
    ]


CONSOLE = (
    Contest(
        "overview",
        "all of 100 000 circuits at a glance, CPU, one in a hundred open",
        looked,
        "ms",
        time.perf_counter,
        rounds=1,
    ),
)

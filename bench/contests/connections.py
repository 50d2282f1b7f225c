"""What a system costs as the number of its circuits grows, up to a million in one process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from bench.child import child
from bench.contest import Contender, Contest, Scale, Unit, agree

__all__ = ["CONNECTIONS"]

SIZES = (1, 1_000, 10_000, 100_000, 1_000_000)
LEAST = {"bytes": 1_000, "register": 1_000}
"""Below that, pages and the first call tell more than circuits do."""

REGISTERED = """
import gc, json, sys, time
from resource import getpagesize
import brama
from brama.circuits.cleanup import Cleanup
size = int(sys.argv[1])
names = [f"connection-{number}" for number in range(size)]
def used():
    gc.collect()
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * getpagesize()
with brama.System() as system:
    system.start()
    before = used()
    start = time.thread_time()
    for name in names:
        system.circuit(name)
    registered = time.thread_time() - start
    weight = used() - before

    guarded = system.circuit(names[size // 2])(lambda: None)
    for _ in range(2000):
        guarded()
    called = []
    for _ in range(9):
        start = time.thread_time()
        for _ in range(5000):
            guarded()
        called.append((time.thread_time() - start) / 5000)

    start = time.thread_time()
    statuses = sum(status is not None for status in (one.status() for one in system.circuits()))
    snapshot = time.thread_time() - start

    # Another sweep than the system's own, which goes on by itself.
    sweep = Cleanup(system._catalogue, inactive_threshold=86400.0)
    slices = []
    left = 64
    while left or sweep._todo:
        sweep.begin()  # what one interval allows is over; the rest goes on where it stopped
        sweep._shards_left = left
        more = True
        while more:
            start = time.thread_time()
            more = sweep.slice()
            slices.append(time.thread_time() - start)
        left = sweep._shards_left
    print(json.dumps({
        "circuits": len(system.circuits()), "statuses": statuses,
        "bytes": weight / size, "register": registered / size, "call": sorted(called)[4],
        "snapshot": snapshot, "sweep": sum(slices), "slice": max(slices),
    }))
"""

_measured: dict[int, list[dict[str, Any]]] = defaultdict(list)


def _child(size: int, run: int) -> dict[str, Any]:
    """The run of that number: each is made once, and every contest takes what it wants from it."""
    runs = _measured[size]
    while len(runs) <= run:
        said = child(REGISTERED, size)
        agree("circuits", asked=size, registered=said["circuits"], seen=said["statuses"])
        runs.append(said)
    return runs[run]


def _by_connections(what: str) -> Any:
    @contextmanager
    def contest(scale: Scale) -> Generator[list[Contender], None, None]:
        largest = SIZES[-1] * scale.size**2
        sizes = [size for size in SIZES if LEAST.get(what, 1) <= size <= largest]
        yield [_of(what, size, first=sizes[0]) for size in reversed(sizes)]

    return contest


def _of(what: str, size: int, first: int) -> Contender:
    done = 0

    def run(_times: int) -> float:
        nonlocal done
        sample = float(_child(size, done)[what])
        done += 1
        return sample

    name = f"{size:,}".replace(",", " ")
    return Contender(
        name,
        run,
        lambda: done,
        times=1,
        compared=what == "call" and size == first,
        series="brama",
        at=float(size),
    )


def _contest(what: str, title: str, unit: Unit) -> Contest:
    make: Any = _by_connections(what)
    return Contest(
        f"by-connections-{what}",
        title,
        make,
        unit,
        rounds=1,  # a million circuits take half a minute
        axis="registered circuits",
    )


CONNECTIONS: tuple[Contest, ...] = (
    _contest("bytes", "a registered circuit, resident, among so many", "B"),
    _contest("register", "a registration, CPU, of so many", "ns"),
    _contest("call", "a decorated call of one of so many circuits", "ns"),
    _contest("snapshot", "the status of every one of so many, CPU", "ms"),
    _contest("sweep", "a whole sweep for idle ones, CPU", "ms"),
    _contest("slice", "the longest slice of that sweep, CPU", "ms"),
)

"""What Brama weighs: its import, a circuit, a circuit with its actor; and how fast they come."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from bench.child import child
from bench.contest import Contender, Contest, Scale, WorkNotDone, agree
from bench.port import erlang

__all__ = ["FOOTPRINT"]

IDLE = 100_000
OPEN = 10_000
HEAVY = ("aiohttp", "grpc", "opentelemetry.sdk")

IMPORT = """
import time; start = time.process_time()
import brama; brama.circuit  # the import alone loads nothing, which would be measured
seconds = time.process_time() - start
import json, sys, threading
print(json.dumps({"seconds": seconds, "threads": threading.active_count(),
                  "heavy": [name for name in sys.argv[1:] if name in sys.modules]}))
"""

# Resident memory, where the system tells it: it sees what the allocator keeps, too.
MEMORY = """
import gc, json, sys, time, tracemalloc
import brama
way, size = sys.argv[1], int(sys.argv[2])
names = [f"connection-{number}" for number in range(size)]
if way == "traced":
    tracemalloc.start()
def used():
    gc.collect()
    if way == "traced":
        return tracemalloc.get_traced_memory()[0]
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * __import__("resource").getpagesize()
"""

ACTORS = (
    MEMORY
    + """
import threading
import pykka
from brama.actors import ActorSystem, InlineActor
kind = sys.argv[3]
lock, up, all_up = threading.Lock(), 0, threading.Event()
class Said:
    def on_start(self):
        global up
        with lock:
            up += 1
            if up in (1, size + 1):
                all_up.set()
class Ours(Said, InlineActor): pass
class Theirs(Said, pykka.ThreadingActor): pass
with ActorSystem("bench") as system:
    start = (lambda: system.spawn(Ours)) if kind == "brama" else Theirs.start
    kept = [start()]
    assert all_up.wait(60)
    all_up.clear()
    before = used()
    kept.extend(start() for _ in range(size))
    assert all_up.wait(60)
    weight = used() - before
    print(json.dumps({"actors": sum(one.is_alive() for one in kept) - 1, "bytes": weight / size}))
    if kind != "brama":
        pykka.ActorRegistry.stop_all()
"""
)

REGISTERED = (
    MEMORY
    + """
with brama.System() as system:
    system.circuit("first")
    before = used()
    start = time.thread_time()
    for name in names:
        system.circuit(name)
    seconds = time.thread_time() - start
    weight = used() - before
    print(json.dumps({"circuits": len(system.circuits()) - 1, "bytes": weight / size,
                      "seconds": seconds / size}))
"""
)

MANAGED = (
    MEMORY
    + """
import threading
from brama.notifier import inline
with brama.System() as system:
    heard, goal, all_heard = 0, 1, threading.Event()
    def hear(event):
        global heard
        heard += 1
        if heard == goal:
            all_heard.set()
    def wait():
        assert all_heard.wait(60), f"heard of {heard} openings"
        all_heard.clear()
        # Whoever was told before this has handled it when the answer comes.
        for _ in range(3):
            system.actors.names.via("registry").ask(None, timeout=60)
    system.subscribe(inline(hear), events=["circuit_opened"])
    system.circuit("first").open_circuit(expires_in=1e6)
    wait()
    actors = len(system.actors.cells)
    before = used()
    # Some at a time: what is under way between ten thousand that open at once is the row "outage".
    for first in range(0, size, 100):
        some = names[first : first + 100]
        goal += len(some)
        for name in some:
            system.circuit(name).open_circuit(expires_in=1e6)
        wait()
    time.sleep(0.2)
    weight = used() - before
    print(json.dumps({"actors": len(system.actors.cells) - actors, "heard": heard - 1,
                      "bytes": weight / size}))
"""
)


@contextmanager
def _imported(_scale: Scale) -> Generator[list[Contender], None, None]:
    with TemporaryDirectory() as compiled:
        child(IMPORT, *HEAVY, compiled=compiled)
        with _repeated(
            **{
                "brama": lambda: _import_time(compiled),
                # What a checkout costs where no bytecode may be written.
                "by source": lambda: _import_time(None),
            }
        ) as contenders:
            yield contenders


def _import_time(compiled: str | None) -> float:
    said = child(IMPORT, *HEAVY, compiled=compiled)
    if said["heavy"] or said["threads"] != 1:
        raise WorkNotDone(f"import brama loaded {said['heavy']} and left {said['threads']} threads")
    return float(said["seconds"])


def _registered(scale: Scale) -> AbstractContextManager[list[Contender]]:
    size = int(IDLE * scale.size)
    return _repeated(
        **{
            "brama": lambda: float(_circuits("resident", size)["bytes"]),
            "by tracemalloc": lambda: float(_circuits("traced", size // 10)["bytes"]),
        }
    )


def _managed(scale: Scale) -> AbstractContextManager[list[Contender]]:
    size = int(OPEN * scale.size)
    return _repeated(
        **{
            "brama": lambda: float(_open("resident", size)["bytes"]),
            "by tracemalloc": lambda: float(_open("traced", size // 10)["bytes"]),
        }
    )


@contextmanager
def _idle_actor(scale: Scale) -> Generator[list[Contender], None, None]:
    size = int(OPEN * scale.size)

    def actors(kind: str, size: int) -> Callable[[], float]:
        def measure() -> float:
            said = child(ACTORS, "resident", size, kind)
            agree("actors", asked=size, alive=said["actors"])
            return float(said["bytes"])

        return measure

    with (
        _repeated(brama=actors("brama", size), pykka=actors("pykka", size // 10)) as ours,
        erlang() as beam,
    ):
        yield [*ours, *([beam.weight("erlang", "memory", size)] if beam else [])]


def _rate(scale: Scale) -> AbstractContextManager[list[Contender]]:
    size = int(IDLE * scale.size)
    return _repeated(brama=lambda: float(_circuits("resident", size)["seconds"]))


def _circuits(way: str, size: int) -> dict[str, Any]:
    said = child(REGISTERED, way, size)
    agree("registrations", asked=size, registered=said["circuits"])
    return said


def _open(way: str, size: int) -> dict[str, Any]:
    said = child(MANAGED, way, size)
    agree("open circuits", asked=size, actors=said["actors"], heard=said["heard"])
    return said


@contextmanager
def _repeated(**measures: Callable[[], float]) -> Generator[list[Contender], None, None]:
    """Contenders that are measured in a child each time, which proves its work itself."""
    done = dict.fromkeys(measures, 0)

    def contender(name: str, measure: Callable[[], float]) -> Contender:
        def run(_times: int) -> float:
            sample = measure()
            done[name] += 1
            return sample

        return Contender(
            name, run, lambda: done[name], times=1, compared=not name.startswith("by ")
        )

    yield [contender(name, measure) for name, measure in measures.items()]


EXIT = """
import json, sys, time
import brama
brama.telemetry.configure(endpoint=sys.argv[1])
with_spans = brama.circuit("bench", failure_threshold=1)
for _ in range(20):
    with_spans.open_circuit(expires_in=60)
    with_spans.close_circuit()
print(json.dumps({"opened": with_spans.status().opened_count, "ends_at": time.time()}))
"""


@contextmanager
def _exits(_scale: Scale) -> Generator[list[Contender], None, None]:
    """From the last line of a program to the end of its process, while its collector is dead."""

    def ends(endpoint: str) -> float:
        said = child(EXIT, endpoint)
        agree("openings", asked=20, counted=said["opened"])
        return time.time() - float(said["ends_at"])

    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("", 0)) as gone:
        port = gone.getsockname()[1]
        gone.close()  # nobody listens there any more
        with _repeated(
            **{
                "brama": lambda: ends(f"http://127.0.0.1:{port}"),
                "by a silent one": lambda: ends(f"http://127.0.0.1:{silent.getsockname()[1]}"),
            }
        ) as contenders:
            yield contenders


FOOTPRINT = (
    Contest(
        "import",
        "import brama and ask for circuit, fresh interpreter, CPU",
        _imported,
        "ms",
        rounds=7,
    ),
    Contest(
        "idle-circuit", "a registered circuit; resident, over 100 000", _registered, "B", rounds=3
    ),
    Contest(
        "open-circuit", "the same with its actor; resident, over 10 000", _managed, "B", rounds=3
    ),
    Contest("idle-actor", "an idle actor; resident, over 10 000", _idle_actor, "B", rounds=3),
    Contest("register", "registrations, 100 000 of them", _rate, "/s", rounds=3),
    Contest("exit", "the end of a process whose OTLP endpoint refuses", _exits, "ms", rounds=3),
)

"""Instructions: what a call takes, counted by Valgrind, which other load cannot blur.

One interpreter imports everything, warms up, and forks for each path and number of calls; each
child ends with its own count. Two numbers of calls make the cost of one: what they have in common
falls out of the difference.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .contest import WorkNotDone

__all__ = ["available", "cost", "count", "paths"]

ROOT = Path(__file__).parents[1]
CALLS = (300, 900)
WARM = 300
"""Calls after which CPython has specialised the code."""

Run = Callable[[int], None]


def available() -> bool:
    """Whether Valgrind is there."""
    return shutil.which("valgrind") is not None


def count() -> dict[str, float]:
    """Instructions of one call, by path: ``"sync"`` is ours, ``"sync circuitbreaker"`` a peer's.

    Raises:
        WorkNotDone: Valgrind failed, or the calls were not made.
    """
    with tempfile.TemporaryDirectory(prefix="brama-bench-") as folder:
        ended = subprocess.run(
            [
                *_fixed_addresses(),
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={folder}/%p",
                sys.executable,
                "-c",
                "from bench.instructions import _children; _children()",
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            # The same hashes each time, and so the same collisions.
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=False,
        )
        if ended.returncode:
            raise WorkNotDone(f"valgrind failed: {ended.stderr.strip()[-2000:]}")
        totals: dict[str, dict[int, int]] = {}
        for name, calls, pid in json.loads(ended.stdout):
            found = re.search(r"^totals: (\d+)$", Path(folder, str(pid)).read_text(), re.MULTILINE)
            if found is None:
                raise WorkNotDone(f"valgrind has not counted {name!r}")
            totals.setdefault(name, {})[calls] = int(found[1])
    return {name: cost(counted) for name, counted in totals.items()}


def _fixed_addresses() -> list[str]:
    """Hashes go by addresses, too, where the system has the program that lays them out alike."""
    return ["setarch", platform.machine(), "-R"] if shutil.which("setarch") else []


def cost(totals: Mapping[int, int]) -> float:
    """The cost of one call, from the totals of a few and of many."""
    few, many = min(totals), max(totals)
    return (totals[many] - totals[few]) / (many - few)


def paths() -> dict[str, Run]:
    """The paths by name: each is a function that makes so many calls, as the contests do."""
    import brama
    from brama.circuits import Catalogue, Shared

    from .contests.calls import COUNTS
    from .contests.work import Work, caught, entered, looped
    from .peers import FOREVER, NEVER, installed

    work = Work()
    # Without a system: its loop is a thread, and a process with threads does not fork well.
    system = Catalogue(Shared())
    plain = system.circuit("plain")
    shut = system.circuit("open")
    shut.open_circuit(expires_in=FOREVER)
    found: dict[str, Run] = {
        "sync": looped(plain(work.call)),
        "count-window": looped(system.circuit("window", trip=COUNTS)(work.call)),
        "slow-timing": looped(system.circuit("slow", slow_after=5.0)(work.call)),
        "guard": entered(plain.guard, work.call),
        "call": looped(lambda: plain.call(work.call)),
        "failure": caught(
            system.circuit("failing", failure_threshold=NEVER)(work.fail), ConnectionError
        )[0],
        "refusal": looped(shut.try_acquire),
        "refusal-raised": caught(shut(work.call), brama.CircuitOpenError)[0],
    }
    for one, library in installed():
        if one.name != "circuitbreaker":
            continue
        breaker, fragile = one.default(library), one.fragile(library)
        found["sync circuitbreaker"] = looped(breaker.decorate(work.call))
        found["failure circuitbreaker"] = caught(
            one.lasting(library).decorate(work.fail), ConnectionError
        )[0]
        caught(fragile.decorate(work.fail), ConnectionError)[0](1)
        found["refusal-raised circuitbreaker"] = caught(
            fragile.decorate(work.call), one.refusal(library)
        )[0]
    found["bare call"] = looped(work.call)
    return found


def _children() -> None:
    """What runs under Valgrind."""
    import gc

    made = paths()
    for run in made.values():
        run(WARM)
    gc.collect()
    gc.disable()
    said = []
    for name, run in made.items():
        for calls in CALLS:
            pid = os.fork()
            if not pid:
                run(calls)
                os._exit(0)
            _pid, status = os.waitpid(pid, 0)
            if status:
                raise WorkNotDone(f"{name!r} ended with {status}")
            said.append((name, calls, pid))
    print(json.dumps(said))

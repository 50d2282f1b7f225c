"""Actors in other people's processes: each kind of host, each way to end, within five seconds.

`hosted.py` is the program. A signal handler is the host's own, for Brama installs none; where none
is there, the process dies at once and nobody cleans up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENDINGS = ["normal", "exception", "sigterm", "forgotten", "chatter"]
SINGLE = ["plain", "threads", "asyncio", "trio"]
PARENTS = ["prefork", "multiprocessing-fork", "multiprocessing-spawn"]
CASES = [f"{host} {ending}" for host in SINGLE + PARENTS for ending in ENDINGS]
KINDS = ("inline", "async", "blocking")

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and POSIX signals"),
]


class Outcome:
    def __init__(self, code, seconds, marks, errors):
        self.code = code
        self.seconds = seconds
        self.marks = marks
        self.errors = errors


def program(host, ending, folder):
    return subprocess.Popen(
        [sys.executable, str(HERE / "hosted.py"), host, ending, str(folder / "marks")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "src")},
    )


def outcome(case, folder):
    host, ending = case.split()
    process = program(host, ending, folder)
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    began = time.monotonic()
    if ending in ("sigterm", "unhandled"):
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    seconds = time.monotonic() - began
    watchdog.cancel()
    marks = folder / "marks"
    lines = marks.read_text().split() if marks.exists() else []
    return Outcome(process.returncode, seconds, lines, line + errors)


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """The cases that were selected, all begun at once and run two at a time."""
    wanted = {
        item.callspec.params["case"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    with ThreadPoolExecutor(2) as pool:
        yield {case: pool.submit(outcome, case, tmp_path_factory.mktemp("case")) for case in wanted}


@pytest.mark.requirement("actors:embedding")
@pytest.mark.parametrize("case", CASES)
def test_every_host_ends_in_time_and_every_actor_has_cleaned_up(outcomes, case):
    host, ending = case.split()
    seen = outcomes[case].result()
    assert seen.seconds < 5, seen.errors
    assert seen.code == (1 if ending == "exception" else 0), seen.errors
    if ending == "exception":
        assert "ValueError: mine" in seen.errors
    elif ending != "chatter":  # a thread that is cut off in the middle of a call may say so
        assert seen.errors == "ready\n"
    marks = Counter(seen.marks)
    processes = {"prefork": 3}.get(host, 2) if host in PARENTS else 1
    assert {kind: marks[kind] for kind in KINDS} == dict.fromkeys(KINDS, processes), seen.errors
    if host == "threads":
        assert marks["thread"] == 1
    if host in PARENTS:
        status = 1 if ending == "exception" else 0
        assert marks[str(status)] == processes - 1, seen.marks


def test_without_a_handler_of_the_host_sigterm_ends_the_process_at_once(tmp_path):
    seen = outcome("plain unhandled", tmp_path)
    assert seen.code == -signal.SIGTERM
    assert seen.seconds < 5
    assert seen.marks == []

"""Ctrl-C and SIGTERM, wherever they strike: no traceback, no orphan, the status of the signal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from .conftest import COMMAND, Start, environment

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])

# Where it strikes, as the function at whose beginning the process is told to end.
MOMENTS = pytest.mark.parametrize(
    ("module", "name"),
    [
        ("brama.cli", "_app"),
        ("brama.demo.upstreams", "Upstreams.__enter__"),
        ("brama.demo.collector", "Collector.__enter__"),
        ("brama.demo.stage", "Stage.begin"),
        ("brama.demo.stage", "Stage.perform"),
        ("brama.demo.upstreams", "Upstreams.__exit__"),
        ("brama.demo.run", "page"),
    ],
)


def strike(number: int, module: str, name: str, condition: str = "True") -> str:
    """Code that has the process signalled at the beginning of that function."""
    owner = "".join(f".{part}" for part in name.split(".")[:-1])
    return (
        "import importlib, signal\n"
        f"owner = importlib.import_module({module!r}){owner}\n"
        f"name = {name.split('.')[-1]!r}\n"
        "function = getattr(owner, name)\n"
        "def struck(*args, **kwargs):\n"
        f"    if {condition}:\n"
        f"        signal.raise_signal({int(number)})\n"
        "    return function(*args, **kwargs)\n"
        "setattr(owner, name, struck)\n"
    )


@SIGNALS
@MOMENTS
def test_a_signal_ends_it_at_any_moment(start: Start, number: int, module: str, name: str) -> None:
    prelude = strike(number, module, name)
    if name in ("page", "Upstreams.__exit__"):
        # The end is what matters here: a script without steps is over at once.
        prelude += "import brama.demo.options as o\no.MINIMUM = 0.01\n"
        done = start("demo", "--duration", "0.01", prelude=prelude)
    else:
        done = start("demo", "--duration", "5", prelude=prelude)

    assert done.returncode == 128 + number
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= 1


@SIGNALS
def test_json_says_nothing_when_it_is_interrupted(start: Start, number: int) -> None:
    done = start("demo", "--json", prelude=strike(number, "brama.demo.stage", "Stage.begin"))

    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def test_a_second_signal_does_not_wait_for_the_order_of_the_first(start: Start) -> None:
    prelude = strike(signal.SIGTERM, "brama.demo.stage", "Stage.begin") + strike(
        signal.SIGTERM, "brama.demo.stage", "Stage.stop"
    ).replace("function", "second").replace("struck", "again")

    done = start("demo", "--duration", "5", prelude=prelude)

    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == ""


@SIGNALS
def test_a_terminal_is_given_back_as_it_was(number: int) -> None:
    """Over a real terminal, with the live view on it; nothing of its process group stays behind."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "demo"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(),
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    while b"supervision tree" not in shown:
        shown += os.read(master, 4096)
    process.send_signal(number)
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    os.close(master)

    assert process.wait(10) == 128 + number
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1
    assert b"Traceback" not in shown
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)

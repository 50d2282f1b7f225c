"""The machine: what the figures were taken on."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import attrs

__all__ = ["Machine", "look"]

PACKAGES = (
    "brama",
    "aiobreaker",
    "blinker",
    "circuitbreaker",
    "interlock-cb",
    "opentelemetry-sdk",
    "purgatory",
    "pybreaker",
    "pykka",
    "trio",
)

PROGRAMS = {
    "erlang": (
        "erl",
        "-noshell",
        "-eval",
        "io:put_chars(erlang:system_info(otp_release)), halt().",
    ),
    "elixir": ("elixir", "-e", "IO.puts(System.version())"),
}


@attrs.frozen
class Machine:
    """A machine and what is installed on it.

    Attributes:
        python: implementation and version.
        system: operating system and architecture.
        processor: its model, where the system says.
        cores: that this process may use.
        load: one minute's average at the start, None where the system does not say.
        versions: of the packages and programs that take part, None for those not installed.
    """

    python: str
    system: str
    processor: str
    cores: int
    load: float | None
    versions: dict[str, str | None]

    def lines(self) -> list[str]:
        """The same for people."""
        load = "" if self.load is None else f", load {self.load:.2f}"
        there = ", ".join(f"{name} {said}" for name, said in self.versions.items() if said)
        absent = ", ".join(name for name, said in self.versions.items() if not said)
        lines = [
            f"{self.python} on {self.system}, {self.processor}, {self.cores} cores{load}",
            there,
        ]
        if absent:
            lines.append(f"not installed, and so left out: {absent}")
        if self.load is not None and self.load > self.cores / 2:
            lines.append("others are using this machine: expect some rows to be too noisy to tell")
        return lines


def look() -> Machine:
    """This machine, now."""
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {_release()} {platform.machine()}",
        processor=_processor(),
        cores=_cores(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        versions={name: _version(name) for name in PACKAGES}
        | {"sqlite": sqlite3.sqlite_version}
        | {name: _answer(*command) for name, command in PROGRAMS.items()},
    )


def _release() -> str:
    """Of the system's kernel, the two numbers that say something to others."""
    return ".".join(platform.release().split(".")[:2])


def _processor() -> str:
    try:
        said = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        said = ""
    found = re.search(r"^model name\s*:\s*(.+)$", said, re.MULTILINE)
    return found[1] if found else platform.processor() or "a processor that has no name"


@functools.cache
def _answer(program: str, *arguments: str) -> str | None:
    """The version that a program prints; None when it is not installed."""
    path = shutil.which(program)
    if path is None:
        return None
    ended = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    numbers = re.findall(r"\d+(?:\.\d+)*", ended.stdout)
    return numbers[-1] if numbers else None


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

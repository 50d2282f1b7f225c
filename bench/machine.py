"""The machine: what the figures were taken on."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata

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


@attrs.frozen
class Machine:
    """A machine and what is installed on it.

    Attributes:
        python: implementation and version.
        system: operating system and processor.
        cores: that this process may use.
        load: one minute's average at the start, None where the system does not say.
        versions: of the packages that take part, None for those not installed.
    """

    python: str
    system: str
    cores: int
    load: float | None
    versions: dict[str, str | None]

    def lines(self) -> list[str]:
        """The same for people."""
        load = "" if self.load is None else f", load {self.load:.2f}"
        there = ", ".join(f"{name} {said}" for name, said in self.versions.items() if said)
        return [f"{self.python} on {self.system}, {self.cores} cores{load}", there]


def look() -> Machine:
    """This machine, now."""
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=_cores(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        versions={name: _version(name) for name in PACKAGES},
    )


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

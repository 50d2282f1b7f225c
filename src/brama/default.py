"""The default system: the one that the functions of `brama` act on."""

from __future__ import annotations

import threading

from brama.circuits import provide

from .forks import renew_in_child
from .system import System

__all__ = ["default_system", "replace_default"]

_default: System | None = None
_default_lock = threading.Lock()


def default_system() -> System:
    """The system that the functions of `brama` act on; made at the first use.

    Raises:
        ConfigError: a ``BRAMA_*`` variable is wrong.
    """
    global _default
    system = _default
    if system is None:
        renew_in_child(_renew)  # first: a fork may come while another thread makes it
        with _default_lock:
            system = _default = _default or System()
    return system


provide(default_system)  # to those below who are not told which system is meant


def replace_default(system: System | None) -> System | None:
    """Make `system` the default one, for a test; returns the former, to be put back."""
    global _default
    with _default_lock:
        former, _default = _default, system
    return former


def _renew() -> None:
    global _default_lock
    _default_lock = threading.Lock()  # whoever held it is not there to release it

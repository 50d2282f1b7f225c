"""The default actor system: the one of ``Cls.start()``."""

from __future__ import annotations

import threading

from . import process
from .host import provide_default
from .system import ActorSystem

__all__ = ["default_actor_system"]


class _Default:
    """Holds the system that is the default now."""

    def __init__(self) -> None:
        # Invariant: guards changes of `system`.
        self.lock = threading.Lock()
        self.system: ActorSystem | None = None

    def after_fork(self) -> None:
        """In the child: whoever held the lock is not there to release it."""
        self.lock = threading.Lock()


_default = _Default()


def default_actor_system() -> ActorSystem:
    """The system of ``Cls.start()``: made on first use, and a new one after it was stopped."""
    system = _default.system
    if system is None or _is_gone(system):
        process.inherit(_default)  # first: a fork may come while another thread makes it
        with _default.lock:
            system = _default.system
            if system is None or _is_gone(system):
                system = _default.system = ActorSystem("brama-actors")
    return system


def _is_gone(system: ActorSystem) -> bool:
    return system._stopped and not system.running


provide_default(default_actor_system)

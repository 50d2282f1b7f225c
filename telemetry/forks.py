"""What has to be renewed in a forked child: locks that a vanished thread may hold, and threads.

A child has only the thread that forked. A lock held by another one stays locked for ever, and
counts that the parent goes on reporting must not be reported twice.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Renewed", "renew_after_fork"]


class Renewed(Protocol):
    """Something that a forked child must set up anew."""

    def after_fork(self) -> None:
        """Called in the child, before any of its own code runs."""


_owners: weakref.WeakSet[Renewed] = weakref.WeakSet()


def renew_after_fork(owner: Renewed) -> None:
    """Call ``owner.after_fork()`` in every forked child, for as long as `owner` lives."""
    _owners.add(owner)


def _renew() -> None:
    for owner in list(_owners):
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

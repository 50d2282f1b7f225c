"""A hold on a circuit: while anybody has one, every call is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

__all__ = ["Isolation"]


class Isolation:
    """Holds a circuit refused, as long as it is held; the last holder's release lets it go on.

    Example:
        >>> with payments.isolate("deploy"):
        ...     payments.available()
        False

    Threads: any. Releasing twice is releasing once.
    """

    __slots__ = ("_held", "_release", "reason")

    _held: bool  # Invariant: whoever deletes it releases; deleting is one step.

    def __init__(self, release: Callable[[], None], reason: str | None) -> None:
        self._release = release
        self._held = True
        self.reason = reason

    @property
    def held(self) -> bool:
        """Whether it was not released."""
        return hasattr(self, "_held")

    def release(self) -> None:
        """Let go."""
        try:
            del self._held
        except AttributeError:
            return
        self._release()

    close = release

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Isolation {'held' if self.held else 'released'}, reason={self.reason!r}>"

"""Why an actor ended, as a value.

    ExitReason
    ├── Normal()             ended by itself, its work done
    ├── Shutdown(detail)     told to end, or ended in good order for the given reason
    ├── Crash(error)         a hook raised
    ├── Killed(detail)       ended from outside without being asked
    └── NoProc()             was dead already when it was monitored

Source: Erlang exit reasons ``normal``, ``shutdown``, ``{shutdown, Term}``, ``killed``, ``noproc``.
"""

from __future__ import annotations

from attrs import field, frozen

from brama.telemetry import ConfigError

__all__ = [
    "Crash",
    "ExitReason",
    "Killed",
    "NoProc",
    "Normal",
    "Shutdown",
    "describe",
    "exit_reason",
]


@frozen
class ExitReason:
    """Base of all exit reasons."""

    @property
    def quiet(self) -> bool:
        """True for endings that are no fault; a transient child is not restarted after one."""
        return False


@frozen
class Normal(ExitReason):
    """The actor ended by itself, its work done."""

    @property
    def quiet(self) -> bool:
        return True


@frozen
class Shutdown(ExitReason):
    """The actor was told to end, or ended in good order for the reason in ``detail``."""

    detail: object = None

    @property
    def quiet(self) -> bool:
        return True


@frozen
class Crash(ExitReason):
    """A hook raised ``error``."""

    error: BaseException = field(eq=False)


@frozen
class Killed(ExitReason):
    """The actor was ended from outside without being asked; it could not refuse."""

    detail: str | None = None


@frozen
class NoProc(ExitReason):
    """The target was dead already when it was monitored."""


def exit_reason(value: ExitReason | BaseException) -> ExitReason:
    """``value`` as an exit reason; an exception stands for the crash by it.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, BaseException):
        return Crash(value)
    if not isinstance(value, ExitReason):
        raise ConfigError(
            "reason", "an ExitReason, for instance Shutdown(), or an exception", value
        )
    return value


def describe(reason: ExitReason) -> str:
    """An exit reason in a word or two, without holding on to its exception."""
    if isinstance(reason, Crash):
        return f"Crash({reason.error!r})"
    return repr(reason)

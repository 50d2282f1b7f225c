"""What a caller gets in place of a result: a fallback, or Brama's ``("error", status)``."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import attrs

from brama.telemetry import ConfigError, unknown

from .breaker import Breaker
from .errors import CircuitOpenError
from .options import check_probe
from .permit import Permit
from .spanned import permit_for
from .status import Status

__all__ = ["NOTHING", "Answer", "Nothing", "Refused", "check_items", "settled", "terms"]

Refused: TypeAlias = tuple[Literal["error"], Status]
"""What a refused call returns with ``on_open="return"``."""

ON_OPEN = ("raise", "return")


class Nothing(Enum):
    """Stands for a fallback that was not given; None is one that was."""

    NOTHING = "nothing"

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = Nothing.NOTHING


@attrs.frozen
class Answer:
    """How one guarded function answers when its call was refused, or failed.

    Args:
        breaker: the function's.
        probe: whether its calls may be probes.
        returns: whether a refused call returns ``("error", status)``.
        fallback: a value, or what makes one; `NOTHING` if there is none.
        kinds: exceptions of the call itself that the fallback answers, besides the refusal.
        takes_error: whether `fallback` is to be called with the error.
    """

    breaker: Breaker
    probe: bool = True
    returns: bool = False
    fallback: Any = NOTHING
    kinds: tuple[type[Exception], ...] = ()
    takes_error: bool = False

    def permit(self) -> Permit:
        """A permit for one call."""
        return permit_for(self.breaker, probe=self.probe)

    def refused(self, error: CircuitOpenError) -> Any:
        """The answer to a refused call; an awaitable if the fallback is async.

        Raises:
            CircuitOpenError: `error`, if there is no other answer.
        """
        if self.returns:
            return "error", self.breaker.status()
        if self.fallback is NOTHING:
            raise error
        return self._instead(error)

    def failed(self, error: Exception) -> Any:
        """The answer to a call that raised one of `kinds`."""
        return self._instead(error)

    def _instead(self, error: Exception) -> Any:
        fallback = self.fallback
        if not callable(fallback):
            return fallback
        return fallback(error) if self.takes_error else fallback()


def terms(
    breaker: Breaker,
    *,
    fallback: Any,
    fallback_on: type[Exception] | Iterable[type[Exception]],
    on_open: str,
    probe: bool,
) -> Answer | None:
    """The checked options of a decorator; None when they are those of a plain one.

    Raises:
        ConfigError: one of them is wrong, or two contradict each other.
    """
    if on_open not in ON_OPEN:
        raise unknown("on_open", on_open, ON_OPEN)
    check_probe(probe)
    kinds = _kinds(fallback_on)
    if fallback is NOTHING and kinds:
        raise ConfigError("fallback_on", "given together with a fallback", fallback_on)
    if fallback is not NOTHING and on_open == "return":
        raise ConfigError("on_open", "left out beside a fallback, which is the answer", on_open)
    if fallback is NOTHING and on_open == "raise" and probe:
        return None
    takes_error = callable(fallback) and _takes_error(fallback)
    return Answer(breaker, probe, on_open == "return", fallback, kinds, takes_error)


async def settled(made: Any) -> Any:
    """An answer as an async function gives it: its fallback may be async or not."""
    return await made if inspect.isawaitable(made) else made


def check_items(fallback: Any, *, sync: bool) -> None:
    """Refuse a fallback that a generator cannot go through."""
    kinds: tuple[Any, ...] = (Iterable,) if sync else (Iterable, AsyncIterable)
    if fallback is NOTHING or callable(fallback) or isinstance(fallback, kinds):
        return
    raise ConfigError("fallback", "items, or a function that returns some", fallback)


def _kinds(value: Any) -> tuple[type[Exception], ...]:
    kinds = (value,) if isinstance(value, type) else value
    if isinstance(kinds, Iterable) and not isinstance(kinds, str | bytes | Mapping):
        kinds = tuple(kinds)
        if all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            return kinds
    raise ConfigError("fallback_on", "classes of Exception", value)


def _takes_error(fallback: Callable[..., Any]) -> bool:
    """Whether a fallback wants the error; a class, ``list`` for example, is made from nothing."""
    made: Any = fallback
    while isinstance(made, partial):
        made = made.func
    try:
        signature = inspect.signature(fallback)
    except (TypeError, ValueError):  # some of C's own have none to show
        return not isinstance(made, type)
    if isinstance(made, type) and _binds(signature):
        return False
    if _binds(signature, None):
        return True
    if _binds(signature):
        return False
    raise ConfigError("fallback", "called with the error, or with nothing", fallback)


def _binds(signature: inspect.Signature, *arguments: Any) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True

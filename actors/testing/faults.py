"""Inject faults into the hooks of actors."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from brama.telemetry import ConfigError, unknown

from .. import HostedActor

__all__ = ["Fault", "InjectedFault", "fault"]

_HOOKS = ("__init__", "on_start", "on_receive", "on_stop", "on_failure")


class InjectedFault(Exception):
    """What `fault` raises when it is told nothing else."""


class Fault:
    """How often a hook was called and how often the fault struck, since `fault` began.

    Threads: any.
    """

    def __init__(self, after: int, times: int | None, when: Callable[..., object] | None) -> None:
        self._lock = threading.Lock()  # Invariant: guards the two counts
        self._after = after
        self._times = times
        self._when = when
        self.calls = 0
        self.struck = 0

    def _strikes(self, arguments: tuple[Any, ...]) -> bool:
        if self._when is not None and not self._when(*arguments):
            return False
        with self._lock:
            self.calls += 1
            strikes = self.calls > self._after and (
                self._times is None or self.struck < self._times
            )
            self.struck += strikes
        return strikes


@contextmanager
def fault(
    cls: type[HostedActor],
    hook: str,
    error: BaseException | type[BaseException] | Callable[..., Any] = InjectedFault,
    *,
    times: int | None = 1,
    after: int = 0,
    when: Callable[..., object] | None = None,
) -> Generator[Fault]:
    """Within it, a hook of a class fails: of each of its actors, restarted ones too.

    Example:
        >>> with fault(Prices, "on_start", OSError("no network"), times=2) as injected:
        ...     prices = await start_supervised(system, Prices)
        ... assert injected.struck == 2

    Args:
        cls: the class; its subclasses are affected where they inherit the hook.
        hook: ``on_start``, ``on_receive``, ``on_stop``, ``on_failure`` or ``__init__``.
        error: what is raised instead of the hook's own work. Or a function of the actor and the
            hook's arguments, called before that work: to wait, to look, to raise now and then. Its
            result is awaited for actors with async hooks.
        times: how often it strikes, 1; None for always.
        after: how many calls it lets pass first, 0.
        when: only calls for whose arguments ``when(*arguments)`` is true; others are not counted.

    Threads: begin and end it where no actor of the class is inside the hook.
    """
    given: Any = cls
    if not (isinstance(given, type) and issubclass(given, HostedActor)):
        raise ConfigError("cls", "an actor class", cls)
    if hook not in _HOOKS:
        raise unknown("hook", hook, list(_HOOKS))
    injected = Fault(after, times, when)
    original = getattr(cls, hook)
    raises = isinstance(error, BaseException) or (
        isinstance(error, type) and issubclass(error, BaseException)
    )

    def strike(actor: Any, arguments: tuple[Any, ...]) -> Any:
        if raises:
            raise error  # type: ignore[misc]  # looked at above
        return error(actor, *arguments)  # type: ignore[operator]  # neither error nor class

    async def awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
        if injected._strikes(args):
            waited = strike(self, args)
            if inspect.isawaitable(waited):
                await waited
        return await original(self, *args, **kwargs)

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        if injected._strikes(args):
            strike(self, args)
        return original(self, *args, **kwargs)

    wrapper = functools.wraps(original)(
        awaited if inspect.iscoroutinefunction(original) else called
    )
    with _replaced(cls, hook, wrapper):
        yield injected


@contextmanager
def _replaced(cls: type[HostedActor], hook: str, wrapper: Any) -> Generator[None]:
    absent = object()
    before = cls.__dict__.get(hook, absent)
    setattr(cls, hook, wrapper)
    marks: list[type[HostedActor]] = []
    if hook == "on_start":
        # A class without an `on_start` of its own is started without calling any.
        for one in (cls, *_below(cls)):
            if not one._own_on_start and getattr(one, hook) is wrapper:
                marks.append(one)
                one._own_on_start = True
    try:
        yield
    finally:
        for one in marks:
            one._own_on_start = False
        if before is absent:
            delattr(cls, hook)
        else:
            setattr(cls, hook, before)


def _below(cls: type[Any]) -> Iterator[type[Any]]:
    for one in cls.__subclasses__():
        yield one
        yield from _below(one)

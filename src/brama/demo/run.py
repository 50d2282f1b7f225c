"""The run of a demonstration, from the first socket to the exit status."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

from rich.console import Console

from .collector import Collector
from .evidence import Evidence
from .expectations import check
from .interrupts import Interrupted, Interrupts
from .lines import Lines
from .options import Options
from .script import write
from .stage import NAMES, Stage
from .summary import document, held, page
from .upstreams import Upstreams

__all__ = ["run"]

_FRAME = 0.05
"""Seconds from one look at the script, the signals and the view to the next."""


class _View(Protocol):
    def open(self) -> None: ...
    def update(self, happened: Sequence[str]) -> None: ...
    def close(self) -> None: ...


class _Silence:
    """The view of ``--json``."""

    def open(self) -> None:
        pass

    def update(self, happened: Sequence[str]) -> None:
        pass

    def close(self) -> None:
        pass


def run(options: Options) -> int:
    """Run a demonstration, show it, and return the exit status of the process.

    Returns:
        0 when every expectation held, 1 when one failed, 130 or 143 after Ctrl-C or SIGTERM.

    Raises:
        ConfigError: a wrong `OTEL_*` variable.
        OSError: no port could be had.

    Threads: the main thread, because signals arrive there.
    """
    console = _console()
    try:
        with Interrupts() as interrupts, _quiet_logs():
            evidence = _perform(options, console, interrupts)
            interrupts.check()
    except Interrupted as interrupted:
        if not options.json:
            print("interrupted; everything has been stopped", file=sys.stderr)
        return interrupted.status
    expectations = check(evidence)
    if options.json:
        print(json.dumps(document(evidence, expectations), indent=2, ensure_ascii=False))
    else:
        page(console, evidence, expectations)
    return 0 if held(expectations) else 1


def _perform(options: Options, console: Console, interrupts: Interrupts) -> Evidence:
    with ExitStack() as stack:
        interrupts.check()
        upstreams = stack.enter_context(Upstreams(NAMES, options.seed))
        interrupts.check()
        collector = stack.enter_context(Collector())
        interrupts.check()
        stage = stack.enter_context(Stage(options, upstreams, collector))
        _play(stage, _view(stage, console), interrupts)
        interrupts.check()
        tree, health = stage.system.tree(), stage.system.health()
        return Evidence(
            options=options,
            moments=stage.moments,
            statuses={name: circuit.status() for name, circuit in stage.circuits.items()},
            hits={upstream.name: upstream.hits for upstream in upstreams},
            callers=stage.service.callers,
            handlers=stage.handlers,
            tree=tree,
            health=health,
            stop=stage.stop(),
            faults=tuple(stage.service.faults),
            # Last: the handlers' spans must have ended.
            arrivals=collector.finish(),
        )


def _play(stage: Stage, view: _View, interrupts: Interrupts) -> None:
    """Play the script, with the view beside it, and let the handlers finish."""
    steps = list(write(stage.options.duration, stage.options.seed))
    view.open()
    try:
        stage.begin()
        while stage.elapsed < stage.options.duration:
            interrupts.check()
            happened: list[str] = []
            while steps and steps[0].at <= stage.elapsed:
                step = steps.pop(0)
                stage.perform(step)
                happened.append(step.text)
            if stage.handlers.book.strike():
                happened.append("Ledger was killed; its supervisor starts it anew")
            view.update(happened)
            # Not an Event's wait: see Interrupts.
            time.sleep(_FRAME)
        stage.drain()
    finally:
        view.close()


def _view(stage: Stage, console: Console) -> _View:
    if stage.options.json:
        return _Silence()
    if console.is_terminal and not console.is_dumb_terminal:
        from .view import View

        return View(stage, console)
    return Lines(stage, sys.stdout)


def _console() -> Console:
    # Signs that the encoding of stdout lacks must not end the demonstration.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    console = Console(highlight=False)
    # Nobody's window is that narrow when there is none.
    return console if console.is_terminal else Console(highlight=False, width=120)


@contextmanager
def _quiet_logs() -> Generator[None]:
    """Keep the log to itself: that a handler crashed is what is shown, not an accident."""
    loggers = [logging.getLogger(name) for name in ("brama", "pykka", "aiohttp", "asyncio")]
    former = [(logger.propagate, list(logger.handlers)) for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.handlers = [logging.NullHandler()]
    try:
        yield
    finally:
        for logger, (propagate, handlers) in zip(loggers, former, strict=True):
            logger.propagate, logger.handlers = propagate, handlers

"""What users see: the doors of the package, and the functions and methods behind them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

DOORS = [
    "brama",
    "brama.actors",
    "brama.actors.testing",
    "brama.circuits",
    "brama.circuits.adapters.aiohttp",
    "brama.circuits.adapters.httpx",
    "brama.circuits.adapters.requests",
    "brama.circuits.testing",
    "brama.notifier",
    "brama.notifier.cloudevents",
    "brama.telemetry",
    "brama.telemetry.testing",
]

OF_THE_CLASS = ("__call__", "__init__", "__enter__", "__aenter__", "__iter__", "__aiter__")


def things(door: str) -> Iterator[tuple[str, Any]]:
    """The functions and classes behind a door."""
    module = import_module(door)
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield name, thing


def methods(thing: Any) -> Iterator[tuple[str, Any]]:
    """The methods and properties of a class, and those that it has from classes of Brama."""
    for base in thing.__mro__:
        if not base.__module__.startswith("brama"):
            continue  # others name types of their own that they do not import
        for name, found in vars(base).items():
            function = found.fget if isinstance(found, property) else found
            function = getattr(function, "__func__", function)
            if inspect.isfunction(function) and (not name.startswith("_") or name in OF_THE_CLASS):
                yield name, function


def functions(door: str) -> Iterator[tuple[str, Any]]:
    """The functions behind a door, and the methods of the classes, each under its name."""
    for name, thing in things(door):
        if inspect.isfunction(thing):
            yield name, thing
        else:
            yield from ((f"{name}.{method}", found) for method, found in methods(thing))

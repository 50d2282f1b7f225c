"""A circuit as it was stored: what `Circuit.dump` gives and `Circuit.load` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brama.telemetry import ConfigError

from .state import State

__all__ = ["check_stored"]

NUMBER = (int, float)
STORED: Mapping[str, tuple[type, ...]] = {
    "version": (int,),
    "state": (str,),
    "remaining": (*NUMBER, type(None)),
    "saved_at": NUMBER,
    "failure_count": (int,),
    "opens": (int,),
    "opened_at": (*NUMBER, type(None)),
    "opened_count": (int,),
    "last_failure_time": (*NUMBER, type(None)),
    "last_success_time": (*NUMBER, type(None)),
    "reason": (str, type(None)),
    "expiry": (*NUMBER, type(None)),
    "expiry_disabled": (bool,),
    "attempts": (int,),
}


def check_stored(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What was stored, with its state as a `State`.

    Raises:
        ConfigError: `dump` gives nothing like it.
    """
    if not isinstance(stored, Mapping):
        raise ConfigError("stored", "what dump() gave", stored)
    plan = {"last_success_time": None, "attempts": 0, **stored}  # these came later than the others
    for name, kinds in STORED.items():
        if name not in plan or not isinstance(plan[name], kinds):
            raise ConfigError(f"stored[{name!r}]", "what dump() gave", plan.get(name))
    if plan["version"] != 1:
        raise ConfigError("stored['version']", "1", plan["version"])
    try:
        plan["state"] = State(plan["state"])
    except ValueError:
        raise ConfigError("stored['state']", f"one of {', '.join(State)}", plan["state"]) from None
    return plan

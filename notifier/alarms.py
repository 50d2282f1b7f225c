"""Alarms: events about Brama itself, which handlers get like any other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count
from typing import Any

from brama.circuits import Fields, Record, Shared

__all__ = ["alarm"]

_numbers = count(1)


def alarm(shared: Shared, fields: Mapping[str, Any]) -> Record:
    """What the registry publishes when a part of Brama fails, or works again.

    Args:
        shared: of the system that it happens in.
        fields: the data of the event `alarm`.
    """
    return Record(
        source=shared.source,
        connection="",
        scope=None,
        events=("alarm",),
        epoch=0,  # breakers have epochs from 1: no other event has this id
        number=next(_numbers),
        seq=None,
        wall=shared.wall(),
        monotonic=time.monotonic(),
        data=Fields(fields),
        context=None,
        version=shared.interest.version,
    )

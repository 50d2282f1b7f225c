"""A pytest plugin that runs pykka's own suite, unmodified, on Brama's actors.

The suite has one fixture, ``runtime``, from which all others derive. A parametrisation by a marker
takes the place of the fixture's own parameters, so nothing of the suite is touched.
"""

from __future__ import annotations

import threading
import time

import pytest

from brama.actors import Future

from . import differences
from .kinds import KINDS, SUPERVISED


class ImpatientEvent(threading.Event):
    """Waits two seconds at most: where we differ deliberately, what is waited for never comes."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(2.0 if timeout is None else min(timeout, 2.0))


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "runtime" not in metafunc.fixturenames:
        return
    # pykka's; importable once its folder is the root.
    from tests.types import Runtime  # type: ignore[import-not-found]

    runtimes = [
        pytest.param(
            Runtime(
                name=name,
                actor_class=kind,
                event_class=ImpatientEvent if name in SUPERVISED else threading.Event,
                future_class=Future,
                sleep_func=time.sleep,
            ),
            id=name,
        )
        for name, kind in {**KINDS, **SUPERVISED}.items()
    ]
    metafunc.definition.add_marker(
        pytest.mark.parametrize("runtime", runtimes, indirect=True, scope="session")
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        why = differences.SUPERVISED.get(getattr(item, "originalname", ""))
        if why is not None and "[supervised-" in item.name:
            item.add_marker(pytest.mark.xfail(reason=why, strict=True))

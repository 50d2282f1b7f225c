"""A server on loopback, a catalogue without actors, and every client with its adapter."""

from __future__ import annotations

import pytest

from brama.circuits import Catalogue

from .clients import CLIENTS
from .server import Server


@pytest.fixture(scope="module")
def _server():
    with Server() as server:
        yield server


@pytest.fixture
def server(_server):
    _server.asked.clear()
    return _server


@pytest.fixture
def catalogue(world):
    return Catalogue(world.shared)


@pytest.fixture(params=CLIENTS.values(), ids=CLIENTS)
def kind(request):
    return request.param


@pytest.fixture
def client(kind, catalogue):
    return lambda **options: kind(circuits=catalogue, **options)

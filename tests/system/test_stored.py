"""The circuits of a system, stored and restored; and Brama's words about the expiry."""

from __future__ import annotations

import json

import pytest

import brama
from brama import ConfigError, State, System


def test_the_circuits_that_are_registered_are_restored() -> None:
    with System() as system:
        system.circuit("north", scope="partners").open_circuit("deploy", expires_in=100)
        system.circuit("south").force_open()
        system.circuit("gone").open_circuit()
        kept = json.loads(json.dumps(system.dump()))
    with System() as system:
        north, south = system.circuit("north", scope="partners"), system.circuit("south")
        assert system.load(kept) == 2
        assert (north.state, south.state) == (State.OPEN, State.FORCED_OPEN)
        assert 90 < north.status().retry_after <= 100
        assert north.why().reason == "restored"


def test_something_else_is_not_restored() -> None:
    with System() as system:
        for wrong in ({}, {"circuits": [5]}, {"circuits": "all"}):
            with pytest.raises(ConfigError, match="stored"):
                system.load(wrong)


def test_the_words_about_the_expiry() -> None:
    circuit = brama.circuit("words_about_expiry", failure_threshold=1)
    try:
        brama.disable_expiry("words_about_expiry")
        circuit.failure("down")
        assert circuit.status().retry_after == float("inf")
        brama.set_expiry("words_about_expiry", 30.0)
        assert 0 < circuit.status().retry_after <= 30
        brama.reset_expiry("words_about_expiry")
        assert circuit.state is State.HALF_OPEN
        assert brama.why("words_about_expiry").state is State.HALF_OPEN
    finally:
        brama.unregister("words_about_expiry")

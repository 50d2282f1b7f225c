"""Replay: what of the past is read, as for a subscription."""

from __future__ import annotations

import pytest

import brama
from brama import ConfigError
from brama.notifier import Replay

NAMES = ("payment_api", "payment_geo", "pay[1]", "pay1", "other")


@pytest.fixture
def filled(writer, event, path):
    kinds = ("state_change", "circuit_opened", "circuit_closed", "registration", "alarm")
    writer.append(
        *(
            event(number, connection=name, event=kind, scope=f"s{number}")
            for number, (name, kind) in enumerate(zip(NAMES, kinds, strict=True))
        )
    )
    return path


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"connection": "payment_*"}, NAMES[:2]),
        ({"connection": "pay?????api"}, NAMES[:1]),
        ({"connection": "*"}, NAMES),
        ({"connection": "pay[1]"}, NAMES[2:3]),
        ({"connection": "p*[1]"}, NAMES[2:3]),
        ({"connection": "pay[1-9]*"}, ()),
        ({"connection": "PAYMENT_*"}, ()),
        ({"events": ["circuit_*"]}, NAMES[1:3]),
        ({"events": ["circuit_opened", "alarm"]}, (NAMES[1], NAMES[4])),
        ({"events": ["*"]}, NAMES),
        ({"events": ["circuit_*"], "connection": "pay*", "scope": "s2"}, NAMES[2:3]),
    ],
)
def test_globs_and_wildcards_are_those_of_a_subscription(filled, limits, found):
    assert tuple(event.connection for event in Replay(filled, **limits)) == found


@pytest.mark.parametrize("events", [["circuit_opend"], ["nothing_*"], [], "circuit_opened", 7])
def test_a_wildcard_that_fits_no_event_is_an_error(path, events):
    with pytest.raises(ConfigError):
        Replay(path, events=events)


def test_a_circuit_may_be_given_for_its_name_and_scope(writer, event, path):
    writer.append(
        *(event(number, connection="pay", scope=f"s{number}") for number in range(3)),
        event(3, connection="other", scope="s1"),
    )
    with brama.System() as system:
        circuit = system.circuit("pay", scope="s1")
        assert [(one.connection, one.scope) for one in Replay(path, connection=circuit)] == [
            ("pay", "s1")
        ]
        with pytest.raises(ConfigError, match="scope must be 's1'"):
            Replay(path, connection=circuit, scope="s2")


@pytest.mark.parametrize("reading", ["replay", "trail"])
def test_a_circuit_of_another_system_is_refused_where_a_journal_is_read(systems, reading):
    mine, other = systems(), brama.System(brama.Settings())
    with pytest.raises(ConfigError, match="connection must be a circuit of this system"):
        getattr(mine, reading)(connection=other.circuit("search"))
    getattr(mine, reading)(connection=mine.circuit("search"))

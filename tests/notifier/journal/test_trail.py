"""The audit trail: who has ordered, subscribed, got and tried to change what, and when."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta

import pytest

import brama
from brama import ConfigError
from brama.notifier import ENTRIES, Entry, Trail

requirement = pytest.mark.requirement


def orders(system: brama.System) -> list[Entry]:
    return list(system.trail(entries=["order_given"]))


def test_a_system_that_writes_says_who_it_is_and_by_what_rules(systems):
    system = systems(max_age=3600.0)
    system.circuit("search").open_circuit()
    begun, joined, *_ = system.trail()
    assert (begun.entry, begun.data["old"]) == ("schema_migrated", 0)
    assert (joined.entry, joined.subject, joined.source) == ("writer_joined", "brama-1", "brama-1")
    assert joined.process == os.getpid()
    assert joined.data["rules"]["max_age"] == 3600.0
    assert joined.data["clean"]
    system.stop()
    left = Trail(system.journal.options.path).last(1)[0]
    assert (left.entry, left.subject) == ("writer_left", "brama-1")
    assert dict(left.data) == {"clean": True}


def test_every_order_is_on_the_trail_with_its_reason_before_what_it_has_done(systems):
    system = systems()
    circuit = system.circuit("payment_api", scope="shop")
    given = {
        "open_circuit": lambda: circuit.open_circuit("deploy", expires_in=60),
        "close_circuit": lambda: circuit.close_circuit("done"),
        "reset_circuit": circuit.reset_circuit,
        "force_open": circuit.force_open,
        "disable": circuit.disable,
        "metrics_only": circuit.metrics_only,
        "set_expiry": lambda: circuit.set_expiry(timedelta(seconds=7)),
        "reset_expiry": circuit.reset_expiry,
        "disable_expiry": circuit.disable_expiry,
        "load": lambda: circuit.load(circuit.dump()),
        "configure": lambda: system.configure("payment_api", scope="shop", expiry=5.0),
        "unregister": lambda: system.unregister("payment_api", scope="shop"),
    }
    for give in given.values():
        give()
    found = orders(system)
    assert [entry.subject for entry in found] == list(given)
    assert {(entry.scope, entry.connection) for entry in found} == {("shop", "payment_api")}
    assert {entry.process for entry in found} == {os.getpid()}
    assert found[0].data == {"reason": "deploy", "options": {"expires_in": 60.0}}
    assert found[6].data == {"options": {"expiry": 7.0}}
    assert found[10].data == {"options": {"expiry": 5.0}}


def test_an_order_that_changes_nothing_is_on_the_trail_too(systems):
    system = systems()
    system.circuit("search").close_circuit("to be sure")
    [order] = orders(system)
    assert (order.subject, order.data["reason"]) == ("close_circuit", "to be sure")
    assert [event.event for event in system.replay(events=["circuit_*"])] == []


def test_what_is_held_isolated_is_on_the_trail_until_it_is_let_go(systems):
    system = systems()
    with system.circuit("search").isolate("deploy"):
        pass
    assert [entry.subject for entry in orders(system)] == ["isolate", "release"]


def test_orders_to_the_whole_system_are_on_the_trail(systems):
    system = systems()
    system.circuit("search")
    system.configure(expiry=5.0, cleanup_interval=3.0)
    system.register_group("shop", ["search", ("eu", "search")])
    assert system.unregister_group("shop")
    assert not system.unregister_group("shop")
    assert not system.unregister("nobody")
    system.deactivate()
    system.activate()
    found = [
        (entry.subject, entry.connection, entry.data.get("options")) for entry in orders(system)
    ]
    assert found == [
        ("configure", None, {"expiry": 5.0, "cleanup_interval": 3.0}),
        ("register_group", "shop", {"members": ["search", "eu/search"], "mode": "all"}),
        ("unregister_group", "shop", None),
        ("deactivate", None, None),
        ("activate", None, None),
    ]


def test_an_order_that_is_refused_is_none(systems):
    system = systems()
    circuit = system.circuit("search")
    with pytest.raises(ConfigError):
        circuit.open_circuit(expires_in=-1)
    with pytest.raises(ConfigError):
        system.configure("search", expiry=-1.0)
    assert orders(system) == []


def test_the_trail_says_on_whose_behalf(systems):
    system = systems()
    circuit = system.circuit("search")
    with brama.acting_as("ana"):
        circuit.force_open("deploy 118")
        with brama.acting_as("bob"):
            circuit.reset_circuit()
        circuit.disable()
    circuit.reset_circuit()
    assert [entry.by for entry in orders(system)] == ["ana", "bob", "ana", None]
    assert [entry.subject for entry in system.trail(by="ana")] == ["force_open", "disable"]


@pytest.mark.parametrize("person", ["", None, 7, "x" * 256, "a\x1bb"])
def test_a_person_has_a_name(person):
    with pytest.raises(ConfigError, match="person"), brama.acting_as(person):
        pass


def test_an_entry_says_behind_which_event_it_was_written(systems):
    system = systems()
    circuit = system.circuit("search")  # two events
    assert system.flush()
    circuit.open_circuit()  # two more
    assert system.flush()
    circuit.close_circuit()
    assert [entry.position for entry in orders(system)] == [2, 4]


# Reading


@pytest.fixture
def filled(writer, path):
    writer.append(
        *(
            Entry(entry=entry, at=at * 1_000_000, connection=name, scope=scope, subject=f"s{at}")
            for at, (entry, name, scope) in enumerate(
                [
                    ("order_given", "payment_api", "shop"),
                    ("order_given", "payment_[1]", None),
                    ("subscribed", None, None),
                    ("delivered", "search", "shop"),
                ],
                start=100,
            )
        )
    )
    return path


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"until": 200.0}, [100, 101, 102, 103]),
        ({"since": 101.0, "until": 103.0}, [101, 102]),
        ({"entries": ["order_*"]}, [100, 101]),
        ({"connection": "payment_*"}, [100, 101]),
        ({"connection": "payment_[1]"}, [101]),
        ({"connection": "*_[?]"}, [101]),
        ({"connection": "payment_1"}, []),
        ({"scope": "shop"}, [100, 103]),
        ({"subject": "s102"}, [102]),
    ],
)
def test_the_trail_is_limited_as_a_replay_is(filled, limits, found):
    read = [entry.at // 1_000_000 for entry in Trail(filled, **limits)]
    assert [at for at in read if at < 1000] == found


def test_an_entry_as_json_is_one_line_with_its_time(filled):
    entry = Trail(filled, subject="s100").last(1)[0]
    told = json.loads(entry.to_json())
    assert told["timestamp"] == "1970-01-01T00:01:40.000000Z"
    assert told["entry"] == "order_given"
    assert "\n" not in entry.to_json()


@pytest.mark.parametrize("wrong", [{"event": 7}, {"by": 7}, {"subject": b"x"}, {"entries": ["x"]}])
def test_a_wrong_limit_is_an_error_at_once(path, wrong):
    with pytest.raises(ConfigError):
        Trail(path, **wrong)


async def test_the_trail_is_read_on_trio_too(filled):
    assert [entry.id async for entry in Trail(filled)] == [entry.id for entry in Trail(filled)]


def test_without_a_journal_there_is_no_trail():
    with pytest.raises(ConfigError, match="BRAMA_JOURNAL"):
        brama.System(brama.Settings()).trail()


# Under load


def test_entries_wait_within_bounds_while_the_file_cannot_be_written(systems, path):
    system = systems(backlog=5)
    circuit = system.circuit("search")
    assert system.flush()
    with system.journal.turn:  # as long as nobody else can write
        for _ in range(20):
            circuit.set_expiry(5.0)
    assert system.flush()
    circuit.set_expiry(6.0)
    assert system.flush()
    *kept, gap, last = [
        entry for entry in system.trail() if entry.entry in ("order_given", "trail_gap")
    ]
    assert gap.entry == "trail_gap"
    assert len(kept) + gap.data["lost"] == 20
    assert 5 <= len(kept) <= 7
    assert last.data["options"] == {"expiry": 6.0}


def test_every_kind_has_its_row_in_the_list():
    assert all(kind.when and name == kind.name for name, kind in ENTRIES.items())


def test_times_are_those_of_the_clock(systems):
    system = systems()
    system.circuit("search").open_circuit()
    [order] = orders(system)
    assert abs(order.timestamp.timestamp() - time.time()) < 60

"""Who wants which event: the pure index."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brama.circuits import ALL, EVENTS, mask_of
from brama.notifier import Index

requirement = pytest.mark.requirement


@attrs.define(eq=False)
class Want:
    events: tuple[str, ...] | None = None
    connection: str | None = None
    scope: str | None = None
    born: int = 0

    def matches(self, event: str, connection: str, scope: str | None) -> bool:
        return (
            (self.events is None or event in self.events)
            and self.connection in (None, connection)
            and self.scope in (None, scope)
        )


def indexed(*wants: Want) -> Index[Any]:
    index: Index[Any] = Index()
    for want in wants:
        index.add(want)
    return index


@requirement("SB-01", "SB-02", "SB-03", "SB-04", "SB-05", "SB-08")
@pytest.mark.parametrize("events", [None, ("failure",), ("success", "failure"), ("cleanup",)])
@pytest.mark.parametrize("connection", [None, "search", "other"])
@pytest.mark.parametrize("scope", [None, "shop", "elsewhere"])
@pytest.mark.parametrize("of", [None, "shop"])
def test_all_that_a_subscription_names_must_match(events, connection, scope, of):
    want = Want(events, connection, scope)
    index = indexed(want)
    expected = [want] if want.matches("failure", "search", of) else []
    assert index.match("failure", "search", of, index.version) == expected


def test_a_subscription_to_several_events_matches_each_of_them_once():
    want = Want(("failure", "success"))
    index = indexed(want, Want(("cleanup",)))
    assert index.match("failure", "search", "shop", index.version) == [want]


@requirement("SB-06")
def test_an_event_that_is_older_than_the_subscription_does_not_match():
    index = indexed()
    before = index.version
    want = Want()
    index.add(want)
    assert index.match("failure", "search", None, before) == []
    assert index.match("failure", "search", None, index.version) == [want]


def test_every_change_and_no_other_call_makes_a_new_version():
    index = indexed()
    want = Want()
    versions = [index.version]
    for change in (index.add, index.remove):
        change(want)
        versions.append(index.version)
    index.remove(want)
    index.match("failure", "search", None, 0)
    index.mask("search", None)
    assert versions == sorted(set(versions))
    assert index.version == versions[-1]


def test_the_mask_falls_back_when_the_last_who_wanted_an_event_goes():
    one, two = Want(("failure",)), Want(("failure", "success"), connection="search")
    index = indexed(one, two)
    assert index.mask("search", None) == mask_of(["failure", "success"])
    index.remove(two)
    assert index.mask("search", None) == mask_of(["failure"])
    index.remove(one)
    assert index.mask("search", None) == 0


def test_a_thousand_subscriptions_that_came_and_went_leave_nothing_behind():
    index = indexed()
    wants = [Want((name,), f"c{i}", f"s{i % 7}") for i in range(80) for name in EVENTS]
    for want in wants:
        index.add(want)
    for want in wants:
        index.remove(want)
    assert (index._buckets, index._masks, index._counts) == ({}, {}, {})


events_of = st.none() | st.lists(st.sampled_from(list(EVENTS)), min_size=1, unique=True).map(tuple)
places = st.sampled_from([None, "a", "b"])
wanted = st.builds(Want, events_of, places, places)


@given(st.lists(st.tuples(wanted, st.booleans()), max_size=25))
@settings(max_examples=150, deadline=None)
def test_matches_and_masks_are_those_of_a_search_through_all(changes):
    index = indexed()
    present: list[Want] = []
    for want, stays in changes:
        index.add(want)
        if stays:
            present.append(want)
        else:
            index.remove(want)
    for connection in ("a", "b", "c"):
        for scope in (None, "a", "c"):
            mask = 0
            for event, kind in EVENTS.items():
                expected = {id(w) for w in present if w.matches(event, connection, scope)}
                found = index.match(event, connection, scope, index.version)
                assert {id(want) for want in found} == expected
                assert len(found) == len(expected)
                mask |= kind.bit if expected else 0
            assert index.mask(connection, scope) == mask & ALL
    for event, kind in EVENTS.items():
        anybody = any(w.events is None or event in w.events for w in present)
        assert index.wants_anywhere(event) is anybody
        assert kind.bit

"""Who wants which event: the pure index."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brama.circuits import ALL, EVENTS, ConnectionKind, mask_of
from brama.notifier import Index

requirement = pytest.mark.requirement


@attrs.define(eq=False)
class Want:
    events: tuple[str, ...] | None = None
    connection: str | None = None
    scope: str | None = None
    kind: ConnectionKind | None = None
    born: int = 0

    def matches(
        self, event: str, connection: str, scope: str | None, kind: ConnectionKind | None = None
    ) -> bool:
        return (
            (self.events is None or event in self.events)
            and self.connection in (None, connection)
            and self.scope in (None, scope)
            and self.kind in (None, kind)
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


NAMES = ["pay", "pay_a", "pay_b", "search", "a*b", ""]
GLOBS = [None, "pay", "pay_*", "*", "*a", "pay_?", "s?arch", "a*b", "??y*"]
WANTS = st.builds(
    Want,
    events=st.sampled_from([None, ("failure",), ("failure", "success"), ("cleanup",)]),
    connection=st.sampled_from(GLOBS),
    scope=st.sampled_from([None, "shop", "other"]),
)


@requirement("SB-05", "BR-16")
@given(
    st.lists(WANTS, max_size=25),
    st.lists(st.integers(0, 24), max_size=25),
    st.sampled_from(["failure", "success", "cleanup", "expiry"]),
    st.sampled_from(NAMES),
    st.sampled_from([None, "shop", "other", "third"]),
)
def test_it_finds_what_asking_every_subscription_would_find(wants, leaving, event, name, scope):
    index = indexed(*wants)
    index.match(event, name, scope, index.version)  # what it remembers must not outlive a change
    for place in leaving:
        if place < len(wants):
            index.remove(wants[place])
            index.match(event, name, scope, index.version)
    left = [want for place, want in enumerate(wants) if place not in leaving]
    expected = [
        want
        for want in left
        if (want.events is None or event in want.events)
        and (want.connection is None or fnmatchcase(name, want.connection))
        and want.scope in (None, scope)
    ]
    found = index.match(event, name, scope, index.version)
    assert sorted(map(id, found)) == sorted(map(id, expected))
    mask = 0
    for want in left:
        if (want.connection is None or fnmatchcase(name, want.connection)) and want.scope in (
            None,
            scope,
        ):
            mask |= mask_of(want.events)
    assert index.mask(name, scope) == mask


def test_thousands_in_one_place_come_and_go_in_linear_time():
    """Ten times as many take about ten times as long, not a hundred times."""

    def seconds(count: int) -> float:
        wants = [Want(("failure",), "pay_*") for _ in range(count)]
        index: Index[Any] = Index()
        began = time.process_time()
        for want in wants:
            index.add(want)
        assert len(index.match("failure", "pay_a", None, index.version)) == count
        for want in wants:
            index.remove(want)
        return time.process_time() - began

    few = min(seconds(1_000) for _ in range(3))
    many = min(seconds(10_000) for _ in range(2))
    assert many < 30 * few
    assert (lambda index: (index._buckets, index._masks))(indexed()) == ({}, {})


def test_globs_that_do_not_fit_cost_nothing_at_the_second_look():
    index = indexed(*(Want(None, f"other_{number}_*") for number in range(2_000)), Want(None, "p*"))
    looked: list[str] = []
    index.match("failure", "pay", None, index.version)
    globs = index._globs
    find, globs._by_start = globs._by_start, _Watched(looked)
    assert len(index.match("failure", "pay", None, index.version)) == 1
    assert looked == []
    globs._by_start = find


class _Watched(dict[str, Any]):
    def __init__(self, looked: list[str]) -> None:
        self.looked = looked

    def get(self, key: str, default: Any = None) -> Any:
        self.looked.append(key)
        return default

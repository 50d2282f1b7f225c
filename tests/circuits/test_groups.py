"""Groups: connections that are of use only together, or of which any one will do."""

from __future__ import annotations

import pytest

from brama.circuits import Catalogue, Groups, Shared, State, UnknownGroupError
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(Shared(), lambda: {"failure_threshold": 2})


@pytest.fixture
def groups(catalogue: Catalogue) -> Groups:
    for name in ("a", "b", "c"):
        catalogue.circuit(name)
    return Groups(catalogue.at)


@requirement("BR-14")
def test_a_group_of_all_is_available_while_every_member_is(catalogue, groups):
    groups.register("both", ["a", "b"])
    assert groups.available("both") is True
    catalogue.get("b").open_circuit()
    assert groups.available("both") is False
    catalogue.get("b").close_circuit()
    assert groups.available("both") is True


def test_a_group_of_any_is_available_while_one_member_is(catalogue, groups):
    groups.register("mirrors", ["a", "b"], mode="any")
    catalogue.get("a").open_circuit()
    assert groups.available("mirrors") is True
    catalogue.get("b").open_circuit()
    assert groups.available("mirrors") is False


@requirement("BR-14")
def test_a_failure_of_the_group_is_one_failure_of_every_member_and_of_no_other(catalogue, groups):
    groups.register("both", ["a", "b"])
    assert groups.failure("both", "DNS") == 2
    assert [catalogue.get(name).status().failure_count for name in "abc"] == [1, 1, 0]
    groups.failure("both", "DNS")
    assert [catalogue.get(name).state.value for name in "abc"] == ["open", "open", "closed"]
    assert catalogue.get("a").status().reason == "DNS"


@requirement("BR-14")
def test_the_status_of_a_group_maps_each_member_to_its_status(catalogue, groups):
    groups.register("both", ["a", "b", "later"])
    catalogue.get("b").open_circuit(reason="deploy")
    status = groups.status("both")
    assert list(status) == ["a", "b", "later"]
    assert (status["a"].state, status["b"].state, status["later"]) == (
        State.CLOSED,
        State.OPEN,
        None,
    )
    assert (status.available, status.unavailable, len(status)) == (False, ("b", "later"), 3)


def test_a_member_that_is_not_registered_is_unavailable_until_it_is(catalogue, groups):
    groups.register("both", ["a", "later"])
    assert groups.available("both") is False
    assert groups.failure("both", None) == 1
    catalogue.circuit("later")
    assert groups.available("both") is True


def test_members_stand_in_the_scope_of_the_group_unless_they_say_otherwise(catalogue, groups):
    inner = catalogue.circuit("a", scope="shop")
    other = catalogue.circuit("x", scope="depot")
    group = groups.register("shop", ["a", ("depot", "x"), (None, "b")], scope="shop")
    assert group.members == (("shop", "a"), ("depot", "x"), (None, "b"))
    assert list(groups.status("shop", scope="shop")) == ["a", ("depot", "x"), (None, "b")]
    assert groups.find("shop") is None
    groups.failure("shop", None, scope="shop")
    counts = [one.status().failure_count for one in (inner, other, catalogue.get("a"))]
    assert counts == [1, 1, 0]


def test_circuits_may_be_given_themselves_and_doubles_count_once(catalogue, groups):
    group = groups.register("g", [catalogue.get("a"), "a", "b"])
    assert group.members == ((None, "a"), (None, "b"))


def test_the_same_group_again_is_the_same_and_another_one_is_refused(groups):
    group = groups.register("g", ["a", "b"])
    assert groups.register("g", ["a", "b"]) is group
    with pytest.raises(ConfigError, match="unregister_group"):
        groups.register("g", ["a"])
    with pytest.raises(ConfigError):
        groups.register("g", ["a", "b"], mode="any")
    assert groups.unregister("g") is True
    assert groups.unregister("g") is False
    assert groups.register("g", ["a"]).members == ((None, "a"),)


def test_what_is_in_a_group_is_known_as_long_as_any_group_holds_it(groups):
    groups.register("one", ["a", "b"])
    groups.register("two", ["b"])
    groups.unregister("one")
    assert [groups.holds((None, name)) for name in "abc"] == [False, True, False]
    assert [group.name for group in groups] == ["two"]


def test_an_unknown_group_is_unavailable_and_has_no_status(groups):
    assert groups.available("nothing") is False
    for ask in (groups.status, groups.get, lambda name: groups.failure(name, None)):
        with pytest.raises(UnknownGroupError, match="no group 'nothing' is registered") as raised:
            ask("nothing")
        assert isinstance(raised.value, LookupError)


@pytest.mark.parametrize(
    ("members", "mode", "says"),
    [
        ("payment_api", "all", r"members must be a list of connections.*Write \['payment_api'\]"),
        ([], "all", "at least one connection"),
        ([1], "all", "names, "),
        (7, "all", "a list of connections"),
        (["a"], "some", "mode must be one of all, any"),
        ([("s", "")], "all", "1 to 255"),
    ],
)
def test_wrong_arguments_are_refused_where_they_are_given(groups, members, mode, says):
    with pytest.raises(ConfigError, match=says):
        groups.register("g", members, mode=mode)


def test_a_thousand_groups_that_end_leave_nothing(groups):
    for number in range(1000):
        groups.register(f"g{number}", ["a", "b"])
    for number in range(1000):
        groups.unregister(f"g{number}")
    assert (groups._groups, groups._members) == ({}, {})

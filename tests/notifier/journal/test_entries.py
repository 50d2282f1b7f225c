"""The entries of the trail: one list of their kinds, and what can be carried in one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama import ConfigError
from brama.notifier import ENTRIES, Entry
from brama.notifier.journal.entries import check_entries, holds, plain, spans


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, None),
        (["order_given"], ("order_given",)),
        (["*ed", "delivered"], tuple(name for name in ENTRIES if name.endswith("ed"))),
    ],
)
def test_kinds_are_asked_for_by_name_and_by_wildcard(asked, found):
    assert check_entries(asked) == found


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["deliverd"], "Did you mean 'delivered'"),
        (["nothing_*"], "must be one of"),
        ("delivered", r"Write \['delivered'\]"),
        ([], "at least one name"),
        (7, "a list of names"),
        ([None], "must be one of"),
    ],
)
def test_a_wrong_kind_is_an_error_that_says_what_there_is(asked, says):
    with pytest.raises(ConfigError, match=says):
        check_entries(asked)


@given(st.sets(st.integers(1, 60), min_size=1))
def test_ids_in_short_are_the_same_ids(ids):
    text = spans(sorted(ids))
    held = {id for id in range(min(ids), max(ids) + 1) if holds(text, id)}
    assert held == ids
    assert (text is None) == (len(ids) == max(ids) - min(ids) + 1)


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value",
    [
        float("inf"),
        float("nan"),
        "half a letter \ud800",
        "x" * 100_000,
        {"nested": [{1, 2}, (object(),)]},
        {"half a key \ud800": 1},
        Unspeakable(),
        1 << 80,
        b"bytes",
        ValueError("\ud800"),
    ],
)
def test_whatever_is_in_an_entry_can_be_written_and_read(writer, value):
    said = plain({"value": value})
    assert len(json.dumps(said)) < 5_000
    writer.append(Entry(entry="order_given", at=1, data=said))
    with writer.file.use() as db:
        text = db.execute("SELECT data FROM trail ORDER BY id DESC LIMIT 1").fetchone()[0]
    assert json.loads(text, parse_constant=pytest.fail) == said

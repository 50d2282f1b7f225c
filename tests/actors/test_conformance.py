"""pykka's own suite is run by `make conformance`; here is held what it is run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from brama.actors import Actor, BlockingActor, InlineActor
from conformance import differences
from conformance.kinds import KINDS, SUPERVISED

ROOT = Path(__file__).parents[2]


@pytest.mark.requirement("actors:pykka-conformance")
def test_every_change_passes_the_suite_of_pykka():
    assert "make conformance" in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.requirement("actors:pykka-conformance")
def test_the_suite_of_pykka_runs_on_every_kind_free_and_supervised():
    for kinds in (KINDS.values(), SUPERVISED.values()):
        for kind in (Actor, BlockingActor, InlineActor):
            assert any(issubclass(one, kind) for one in kinds)


@pytest.mark.requirement("actors:pykka-conformance")
def test_free_actors_differ_from_pykka_in_nothing_and_children_in_what_the_page_lists():
    assert len(differences.SUPERVISED) == 4
    page = ROOT / "docs" / "actors" / "pykka.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in differences.SUPERVISED if f"`{name}`" not in text] == []

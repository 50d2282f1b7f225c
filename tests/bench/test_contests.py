"""The contests prove their work: each notices what was not done."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.child import child
from bench.contest import QUICK, Contest, WorkNotDone
from bench.contests import ALL
from bench.contests.actors import ACTORS
from bench.contests.calls import CALLS
from bench.contests.connections import REGISTERED
from bench.contests.dispatch import Hall
from bench.contests.endtoend import Outage, Storm, Upstream
from bench.contests.refusals import REFUSALS
from bench.contests.threads import Crew
from bench.contests.transitions import Tripping
from bench.contests.windows import WINDOWS
from bench.contests.work import Work, looped, settled

import brama
from brama.notifier import JournalOptions


def test_a_call_that_the_circuit_did_not_count_is_noticed() -> None:
    with brama.System() as system:
        circuit, work = system.circuit("bench"), Work()
        done = settled(circuit, work)
        looped(circuit(work.call))(7)
        assert done() == 7
        work.call()
        with pytest.raises(WorkNotDone, match="successes 7, work 8"):
            done()


@pytest.mark.parametrize("contest", [*CALLS, *REFUSALS, *ACTORS], ids=lambda one: one.name)
def test_every_contender_does_the_work_it_is_asked_for(contest: Contest) -> None:
    with contest.make(QUICK) as contenders:
        assert contenders[0].name == "brama"
        for one in contenders:
            before = one.done()
            one.run(20)
            one.run(30)
            assert one.done() - before == 50, one.name


def test_every_title_says_what_one_time_of_the_work_is() -> None:
    assert all(one.title for one in ALL)
    assert len({one.title for one in ALL}) == len(ALL)


def test_an_outage_is_timed_from_where_the_upstream_hangs_up() -> None:
    with brama.System() as system, Upstream() as upstream:
        outage = Outage(system, upstream)
        assert 0 < outage.until_heard() < 10
        assert outage.done() == outage.trips == upstream.failures == 2
        outage.opened -= 1
        with pytest.raises(WorkNotDone, match="heard 1"):
            outage.done()


def test_an_outage_is_in_the_journal_when_it_is_said_to_be(tmp_path: Path) -> None:
    settings = brama.Settings(journal=JournalOptions(tmp_path / "events.sqlite"))
    with brama.System(settings) as system, Upstream() as upstream:
        outage = Outage(system, upstream)
        assert 0 < outage.until_durable() < 10
        kept = [event.event for event in system.replay()]
        assert kept.count("circuit_opened") == 2


def test_a_storm_counts_what_was_made_heard_and_kept(tmp_path: Path) -> None:
    settings = brama.Settings(journal=JournalOptions(tmp_path / "events.sqlite"))
    with brama.System(settings) as system:
        storm = Storm(system)
        storm.rage(250)
        assert storm.done() == 250
        storm.heard -= 1
        with pytest.raises(WorkNotDone, match="heard 249"):
            storm.done()


def test_work_that_fails_each_twentieth_time_is_counted_by_its_circuit() -> None:
    contest = next(one for one in WINDOWS if one.name == "by-window")
    with contest.make(QUICK) as contenders:
        for one in contenders:
            one.run(100)
            assert one.done() == 100, one.name


def test_workers_are_delivered_to_as_inline_subscribers_are() -> None:
    with brama.System() as system:
        hall = Hall(system, 20, 5, workers=True)
        hall.publish(7)
        assert hall.delivered == [7] * 5
        assert hall.done() == 35


def test_a_run_with_so_many_circuits_sweeps_all_of_them() -> None:
    said = child(REGISTERED, 300)

    assert said["circuits"] == said["statuses"] == 300
    assert 0 < said["slice"] <= said["sweep"]


def test_a_crew_shares_a_round_exactly() -> None:
    work = Work()
    with Crew(size=3) as crew:
        run = crew.rounds_of(work.call)
        run(10)
        assert work.done() == 10
        run(1)
        assert work.done() == 11


def test_a_crew_raises_what_one_of_it_raised() -> None:
    def fail() -> None:
        raise ValueError("in a thread")

    with Crew(size=2) as crew, pytest.raises(ValueError, match="in a thread"):
        crew.rounds_of(fail)(1)


def test_each_transition_is_heard_of_once() -> None:
    with brama.System() as system:
        tripping = Tripping(system, 3)
        callers, late = tripping.once()
        assert len(callers) == 3
        assert 0 < max(callers) < late
        assert tripping.done() == 3
        tripping.delivered += 2
        with pytest.raises(WorkNotDone, match="openings"):
            tripping.done()


def test_each_event_reaches_those_who_match_and_nobody_else() -> None:
    with brama.System() as system:
        hall = Hall(system, 20)
        hall.publish(7)
        assert hall.delivered == [7] * 10
        assert hall.done() == 70
        hall.delivered[3] -= 1
        with pytest.raises(WorkNotDone, match="listener_3 6"):
            hall.done()

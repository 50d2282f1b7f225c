"""The contests prove their work: each notices what was not done."""

from __future__ import annotations

import pytest
from bench.contest import QUICK, Contest, WorkNotDone
from bench.contests import ALL
from bench.contests.actors import ACTORS
from bench.contests.calls import CALLS
from bench.contests.dispatch import Hall
from bench.contests.refusals import REFUSALS
from bench.contests.threads import Crew
from bench.contests.transitions import Tripping
from bench.contests.work import Work, looped, settled

import brama


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

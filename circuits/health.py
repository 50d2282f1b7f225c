"""Health checks: asking an open circuit's remote, so that no call has to be the probe."""

from __future__ import annotations

from typing import Any

import trio

from brama.actors import Actor, ActorRef

from .asking import THREADS, Question
from .breaker import Breaker
from .policy import Policy
from .state import State

__all__ = ["Checker", "Checks"]

ASKED_IN = (State.OPEN, State.HALF_OPEN)


class Check:
    """To a checker: ask now."""


CHECK = Check()


class Checks:
    """Who checks which circuit; belongs to the system and not to an actor.

    Threads: on the loop.

    Attributes:
        actors: the checkers that are there.
        threads: how many plain checks may run at the same time.
    """

    def __init__(self) -> None:
        self.actors: dict[Breaker, ActorRef[Any]] = {}
        self.renew()

    def renew(self) -> None:
        """A new loop: nothing that the former has lent will come back."""
        self.threads = trio.CapacityLimiter(THREADS)

    def missing(self, breaker: Breaker) -> bool:
        """Whether the circuit is to be checked and nobody does."""
        actor = self.actors.get(breaker)
        return wanted(breaker) and (actor is None or not actor.is_alive())


def wanted(breaker: Breaker) -> bool:
    """Whether the circuit has a health check to be asked in its present state."""
    return (
        breaker.policy.health_check is not None and breaker.registered and breaker.state in ASKED_IN
    )


class Checker(Actor):
    """Asks every `health_interval` seconds while the circuit is open or half-open, and ends then.

    Nothing of it must outlive it but the question, which knows of a thread that hangs. A successor
    begins with an interval of its own.
    """

    def __init__(self, breaker: Breaker, checks: Checks) -> None:
        super().__init__()
        self._breaker = breaker
        self._checks = checks
        self._question: Question | None = None

    async def on_start(self) -> None:
        if not self._checks.missing(self._breaker):
            self.exit()  # one too many: asked for twice, or late
            return
        self._checks.actors[self._breaker] = self.actor_ref
        self.after(self._breaker.policy.health_interval, CHECK)

    async def on_receive(self, message: Any) -> None:
        breaker = self._breaker
        if wanted(breaker):
            policy, generation = breaker.policy, breaker.current
            answer = await self._asked(policy).ask(self._checks.threads)
            fault = "it answered False" if answer.value is False else answer.fault
            breaker.checked(generation, fault)
        if wanted(breaker):
            self.after(breaker.policy.health_interval, CHECK)
        else:
            # Before it ends, so that whoever finds the circuit open again asks for another one.
            self._checks.actors.pop(breaker, None)
            self.exit()

    def _asked(self, policy: Policy) -> Question:
        """The question of the present policy; the same one as long as that does not change."""
        question = self._question
        function = policy.health_check
        assert function is not None
        if question is None or question.function is not function:
            question = Question(function, policy.health_timeout, policy.health_loop)
            self._question = question
        question.timeout = policy.health_timeout
        return question

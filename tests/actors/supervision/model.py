"""A pure model of a supervisor: OTP's words, without actors, a loop or a clock of its own."""

from __future__ import annotations

import attrs

EXISTS, NOT_FOUND, RUNNING, RESTARTING = "exists", "not_found", "running", "restarting"


@attrs.define
class ModelChild:
    id: str
    restart: str
    significant: bool
    failures: list[str | None]
    """What the next starts come to: None for success, ``error`` or ``ignore``."""
    status: str = "stopped"
    starts: int = 0


@attrs.define
class Model:
    """``supervisor.erl`` for one supervisor; `alive` turns False when it has ended."""

    strategy: str
    intensity: int
    period: float
    auto_shutdown: str
    children: list[ModelChild] = attrs.field(factory=list)
    restarts: list[float] = attrs.field(factory=list)
    now: float = 0.0
    alive: bool = True

    def find(self, id: str) -> ModelChild | None:
        return next((child for child in self.children if child.id == id), None)

    def statuses(self) -> dict[str, tuple[str, int]]:
        return {child.id: (child.status, child.starts) for child in self.children}

    # -- requests

    def start_child(self, child: ModelChild) -> str | None:
        if self.find(child.id):
            return EXISTS
        outcome = self._start(child)
        if outcome != "error" and not (outcome == "ignore" and child.restart == "temporary"):
            self.children.append(child)
        return outcome

    def terminate(self, id: str) -> str | None:
        child = self.find(id)
        if child is None:
            return NOT_FOUND
        child.status = "stopped"
        if child.restart == "temporary":
            self.children.remove(child)
        return None

    def restart_child(self, id: str) -> str | None:
        child = self.find(id)
        if child is None:
            return NOT_FOUND
        if child.status != "stopped":
            return RUNNING if child.status == "running" else RESTARTING
        return self._start(child)

    def delete(self, id: str) -> str | None:
        child = self.find(id)
        if child is None:
            return NOT_FOUND
        if child.status != "stopped":
            return RUNNING if child.status == "running" else RESTARTING
        self.children.remove(child)
        return None

    # -- exits

    def exited(self, child: ModelChild, quiet: bool) -> None:
        if child.restart == "permanent" or (child.restart == "transient" and not quiet):
            self._restart(child)
            return
        child.status = "stopped"
        if child.restart == "temporary":
            self.children.remove(child)
        if child.significant and (
            self.auto_shutdown == "any_significant"
            or (
                self.auto_shutdown == "all_significant"
                and not any(c.significant and c.status == "running" for c in self.children)
            )
        ):
            self._end()

    def _restart(self, child: ModelChild) -> None:
        while True:
            self.restarts = [
                self.now,
                *(at for at in self.restarts if at >= self.now - self.period),
            ]
            if len(self.restarts) > self.intensity:
                self._end()
                return
            failed = self._bring_up(child)
            if failed is None:
                return
            child = failed

    def _bring_up(self, child: ModelChild) -> ModelChild | None:
        """Whose start has failed, if one has."""
        group = {
            "one_for_one": [child],
            "one_for_all": self.children,
            "rest_for_one": self.children[self.children.index(child) :],
        }[self.strategy]
        for one in group:
            one.status = "stopped"
        dropped = [one for one in group if one.restart == "temporary"]
        self.children = [one for one in self.children if one not in dropped]
        for one in [one for one in group if one not in dropped]:
            if self._start(one) == "error":
                one.status = "restarting"
                return one
        return None

    def _start(self, child: ModelChild) -> str | None:
        outcome = child.failures.pop(0) if child.failures else None
        child.status = "stopped" if outcome else "running"
        child.starts += outcome is None
        return outcome

    def _end(self) -> None:
        self.alive = False
        self.children = []

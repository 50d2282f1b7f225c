"""What a supervisor tells the operator: log lines, and occurrences on the hook bus.

Each line says what happened, since when, and what it means now. The text of an exit reason has
been through the actor's own `format_status`, so that no credential gets here.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from brama.telemetry import Context, attached, error_type, execute, hook_names, line, marked

from .ending import Ending
from .exits import Crash, ExitReason
from .strategy import is_expected_end

if TYPE_CHECKING:
    from .child import Child
    from .children import ChildSpec
    from .intensity import Intensity

__all__ = ["Cause", "Reports", "cause_of"]

logger = logging.getLogger("brama.actors")


Cause = tuple[str | None, Context | None]
"""What is told of a crash later: the error itself would keep its frames alive."""


def cause_of(reason: ExitReason | None) -> Cause:
    """The type of the error by which a child crashed, and what leads to where it was raised."""
    if not isinstance(reason, Crash):
        return None, None
    return error_type(reason.error), marked(reason.error)


class Reports:
    """The reports of one supervisor.

    Args:
        supervisor: the text of its ref.
        strategy: of the supervisor, for the metadata.

    Attributes:
        level: of the line for each restart.
    """

    __slots__ = ("_strategy", "_supervisor", "level")

    def __init__(self, supervisor: str, strategy: str) -> None:
        self.level = logging.INFO
        self._supervisor = supervisor
        self._strategy = strategy

    def will_restart(self, child: Child, delay: float | None) -> None:
        if logger.isEnabledFor(self.level):
            logger.log(
                self.level,
                "%s: child %r has ended after %.1f s: %s; restarting it %s",
                self._supervisor,
                child.spec.id,
                child.ended - child.since,
                child.last_exit,
                "now" if delay is None else f"in {delay:.2f} s",
            )

    def restarted(self, child: Child, cause: Cause, away: float) -> None:
        if attached(hook_names.ACTOR_RESTART):
            execute(
                hook_names.ACTOR_RESTART,
                {"system_time": time.time(), "count": child.restarts, "duration": away},
                self._about(child, cause),
            )

    def restart_failed(self, child: Child) -> None:
        logger.warning(
            "%s: child %r did not start again: %s. It is tried again, and each try counts for the "
            "restart intensity",
            self._supervisor,
            child.spec.id,
            child.last_exit,
        )

    def exhausted(
        self, child: Child, intensity: Intensity, reason: ExitReason | None, now: float
    ) -> None:
        since = now - (intensity.since() or now)
        line(
            logger,
            hook_names.SUPERVISOR_EXHAUSTED,
            "error",
            self._about(child, cause_of(reason)),
            "%s: restart intensity exceeded (%d in %g s) by child %r, the last time: %s. The first "
            "of these restarts was %.1f s ago. It ends all its children and itself; its own "
            "supervisor decides what follows",
            self._supervisor,
            intensity.intensity,
            intensity.period,
            child.spec.id,
            child.last_exit,
            since,
        )
        self._trip(hook_names.SUPERVISOR_EXHAUSTED, child, intensity, reason)

    def quarantined(
        self, child: Child, intensity: Intensity, reason: ExitReason | None, now: float
    ) -> None:
        since = now - (intensity.since() or now)
        line(
            logger,
            hook_names.CHILD_QUARANTINED,
            "error",
            self._about(child, cause_of(reason)),
            "%s: child %r is quarantined: it has ended more than %d times in %g s, for the first "
            "time %.1f s ago, the last time: %s. It stays down until restart_child; all others go "
            "on",
            self._supervisor,
            child.spec.id,
            intensity.intensity,
            intensity.period,
            since,
            child.last_exit,
        )
        self._trip(hook_names.CHILD_QUARANTINED, child, intensity, reason)

    def auto_shutdown(self, child: Child) -> None:
        logger.info(
            "%s: its significant child %r has ended: %s; it ends its children and itself",
            self._supervisor,
            child.spec.id,
            child.last_exit,
        )

    def ended(self, spec: ChildSpec, ending: Ending, text: str) -> None:
        """A child that was told to end has done so, in whichever way."""
        if ending.late:
            logger.warning(
                "%s: child %r did not end within %g s and was killed",
                self._supervisor,
                spec.id,
                spec.shutdown,
            )
        elif ending.reason is not None and not is_expected_end(
            spec.restart, ending.reason, brutal=spec.shutdown == 0
        ):
            logger.log(
                logging.ERROR if isinstance(ending.reason, Crash) else logging.WARNING,
                "%s: child %r was told to end, and ended otherwise: %s",
                self._supervisor,
                spec.id,
                text,
            )
        if ending.leftover is not None:
            logger.error(
                "%s: child %r cannot be stopped: %s goes on; leaving it behind",
                self._supervisor,
                spec.id,
                ending.leftover,
            )

    def never_for_good(self, spec: ChildSpec) -> None:
        logger.warning(
            "%s: child %r has auto_shutdown and is permanent: each time that it ends itself it "
            "will be restarted. Make it transient or temporary",
            self._supervisor,
            spec.id,
        )

    def hook_failed(self, hook: str) -> None:
        logger.exception("%s: %s raised; going on without it", self._supervisor, hook)

    def _trip(
        self, event: str, child: Child, intensity: Intensity, reason: ExitReason | None
    ) -> None:
        if attached(event):
            execute(
                event,
                {
                    "system_time": time.time(),
                    "count": intensity.intensity + 1,
                    "seconds": intensity.period,
                },
                self._about(child, cause_of(reason)),
            )

    def _about(self, child: Child, cause: Cause) -> dict[str, Any]:
        error_type, context = cause
        name = child.spec.name
        return {
            "actor_class": child.spec.start.__qualname__,
            "name": str(child.spec.id if name is None else name),
            "supervisor": self._supervisor,
            "strategy": self._strategy,
            "reason": child.last_exit,
            "error_type": error_type,
            "context": context,
        }

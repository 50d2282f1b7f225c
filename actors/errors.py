"""What the actor floor raises.

    BramaError
    └── ActorError
        ├── ActorDeadError (also pykka's)            the target is gone, or went without an answer
        │   └── NameNotFoundError                    nobody holds the name right now
        ├── ActorStartError                          a child did not come up
        ├── CallTimeoutError (also a pykka.Timeout)  no answer came in time
        ├── ChildError                               a supervisor refuses a request
        │   ├── ChildExistsError                     there is a child with this id
        │   ├── ChildNotFoundError                   there is none
        │   ├── ChildRunningError                    it runs, and should not
        │   ├── ChildRestartingError                 it waits for its restart, and should not
        │   └── ChildLimitError                      there are max_children already
        ├── MailboxFullError                         a full mailbox has dropped the request
        ├── NameTakenError                           another live actor holds the name
        ├── WouldBlockError (also a RuntimeError)    a wait that would freeze the actors' own loop
        ├── SystemStoppedError (also a RuntimeError) the system has ended
        └── HostError (also a RuntimeError)          this process cannot host actors

`Ignore` is raised by actors and is no error: "do not start me".
"""

from __future__ import annotations

from collections.abc import Hashable

import pykka

from brama.telemetry import BramaError

__all__ = [
    "ActorDeadError",
    "ActorError",
    "ActorStartError",
    "CallTimeoutError",
    "ChildError",
    "ChildExistsError",
    "ChildLimitError",
    "ChildNotFoundError",
    "ChildRestartingError",
    "ChildRunningError",
    "HostError",
    "Ignore",
    "MailboxFullError",
    "NameNotFoundError",
    "NameTakenError",
    "SystemStoppedError",
    "WouldBlockError",
]


class ActorError(BramaError):
    """Root of the errors raised by `brama.actors`."""


class ActorDeadError(ActorError, pykka.ActorDeadError):
    """The target is not alive, or ended before it answered."""


class NameNotFoundError(ActorDeadError):
    """Nobody is registered under the name at this moment."""


class ActorStartError(ActorError):
    """A child did not come up; ``child`` is its id, ``__cause__`` its own error."""

    def __init__(self, child: Hashable, why: str) -> None:
        super().__init__(child, why)
        self.child = child
        self.why = why

    def __str__(self) -> str:
        return f"child {self.child!r} did not start: {self.why}"


class CallTimeoutError(ActorError, pykka.Timeout, TimeoutError):
    """No answer came in time. The target may still be at it; its reply will be a dead letter."""


class MailboxFullError(ActorError):
    """The target's mailbox is full and its `MailboxPolicy` drops the request."""


class ChildError(ActorError):
    """A supervisor refuses a request about a child; ``child`` is its id."""

    def __init__(self, child: Hashable, why: str) -> None:
        super().__init__(child, why)
        self.child = child
        self.why = why

    def __str__(self) -> str:
        return f"child {self.child!r} {self.why}"


class ChildExistsError(ChildError):
    """A child with this id exists already (OTP: ``already_started``, ``already_present``)."""


class ChildNotFoundError(ChildError):
    """There is no child with this id (OTP: ``not_found``)."""


class ChildRunningError(ChildError):
    """The request needs a stopped child (OTP: ``running``)."""


class ChildRestartingError(ChildError):
    """The request needs a stopped child, this one waits for its restart (OTP: ``restarting``)."""


class ChildLimitError(ChildError):
    """The supervisor has ``max_children`` already (OTP: ``max_children``)."""


class NameTakenError(ActorError):
    """Another live actor holds the name."""


class WouldBlockError(ActorError, RuntimeError):
    """A blocking wait on the thread that has to produce the result: it would never end."""


class SystemStoppedError(ActorError, RuntimeError):
    """The system has ended and does not start again by itself."""


class HostError(ActorError, RuntimeError):
    """This process cannot host actors, and the text says why."""


class Ignore(Exception):
    """Raised by a constructor or an `on_start`: do not start me, and that is no fault.

    Example:
        >>> class Exporter(InlineActor):
        ...     def on_start(self):
        ...         if "EXPORT_TO" not in os.environ:
        ...             raise Ignore("nothing is configured")

    The supervisor goes on with the next child. It keeps the spec, for `restart_child`, with no
    actor behind it; of a temporary child, and in a `DynamicSupervisor`, it forgets the spec.

    Source: ``ignore`` as the result of an Erlang ``init``.
    """

"""Severity providers: how much an occurrence matters, decided by the application.

    import brama.telemetry

    def by_night(event, severity, metadata):
        if metadata["connection"] == "reports" and is_night():
            return "debug"

    brama.telemetry.provide_severity("by-night", "brama.circuit.transition", by_night)

After Polly's `SeverityProvider`. It grades the log line and the log event of an occurrence on the
hook bus, and may silence them; what is counted, traced and told to listeners stays. The severity of
the *events* that subscribers get is another matter, with the same words: see `brama.Severity`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, cast, get_args

from .bus import SEVERITY_PROVIDERS, Attachment, made
from .hooks import Metadata, failed

__all__ = ["LEVELS", "Severity", "SeverityProvider", "provide_severity", "severity_of"]

Severity = Literal["debug", "info", "warning", "error", "critical", "off"]
SEVERITIES: Final[tuple[str, ...]] = get_args(Severity)

SeverityProvider = Callable[[str, Severity, Metadata], str | None]
"""What is called: ``provider(event, severity, metadata)``; returns a severity, or None."""

LEVELS: Final[dict[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
"""What each severity but ``off`` is to `logging`."""


def provide_severity(
    id: str, events: str | Iterable[str], provider: SeverityProvider
) -> Attachment:
    """Have `provider` decide how much `events` matter.

    Example:
        >>> from brama.telemetry import detach
        >>> def only_openings(event, severity, metadata):
        ...     return "error" if metadata["new_state"] == "open" else "off"
        >>> _ = provide_severity("openings", "brama.circuit.transition", only_openings)
        >>> detach("openings")
        True

    Args:
        id: names it, for `detach` and for reports.
        events: names of occurrences, as for `attach`.
        provider: ``provider(event, severity, metadata)``, a plain function. Returns ``"debug"``,
            ``"info"``, ``"warning"``, ``"error"``, ``"critical"``, or ``"off"``, which silences it;
            None leaves it as it is. Of several, each is given what the one before it decided.

    Raises:
        ConfigError: as for `attach`.

    Failure: a provider that raises, or answers none of these, is detached and reported like a
    listener; the severity stays what it was.
    Threads: it is called in the thread of the occurrence; it must be quick and must not block.
    """
    return SEVERITY_PROVIDERS.add(
        made(id, events, provider, arguments=("event", "severity", "metadata"), option="provider")
    )


def severity_of(event: str, severity: Severity, metadata: Metadata) -> Severity:
    """The severity of an occurrence that has `severity` unless somebody says otherwise."""
    if not SEVERITY_PROVIDERS.attached:
        return severity
    for attachment in SEVERITY_PROVIDERS.those_for(event):
        try:
            answer: Any = attachment.handler(event, severity, metadata)
            if answer is not None:
                severity = _checked(answer)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a provider is never fatal
            failed(SEVERITY_PROVIDERS, attachment, event, error)
    return severity


def _checked(answer: Any) -> Severity:
    if answer not in SEVERITIES:
        raise ValueError(
            f"a severity provider answers one of {', '.join(SEVERITIES)} or None, got {answer!r}"
        )
    return cast("Severity", str(answer))

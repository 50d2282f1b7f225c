"""Telemetry: from a failing call to the handler that was told of it, in one trace.

Brama makes spans and counts through OpenTelemetry's API. Without an SDK, or without a provider,
they cost a flag test. With one of your own, Brama uses it and configures nothing. Without one,
this sends everything to an OTLP endpoint, by the standard `OTEL_*` variables:

    import brama.telemetry

    telemetry = brama.telemetry.configure(service_name="checkout")
    ...                                   # at exit it flushes, for two seconds at most
    telemetry.shutdown()                  # or when you say so

What appears is listed in `brama.telemetry.names`: the span of each state change is a child of
the call that caused it, followed by ``publish`` and ``process`` spans; metrics carry a bounded
`pool`, never a connection. `brama.telemetry.testing` has an OTLP receiver to see it arrive.

The functions below carry a context along that way. They never raise, and do nothing when nobody
is tracing:

    >>> from time import time_ns
    >>> from brama.telemetry import capture, process, publish, transition
    >>> cause = capture()                                   # in the caller's thread
    >>> cause = transition(cause, connection="payment_api", scope=None, previous="closed",
    ...                    new="open", reason="Timeout", time_ns=time_ns())
    >>> publication = publish(cause, event="state_change", event_id="1",
    ...                       connection="payment_api", scope=None, state="open")
    >>> publication.end(matched=1, queued=1)
    >>> with process(event="state_change", traceparent=publication.traceparent,
    ...              subscription="pager", connection="payment_api", scope=None, n=1,
    ...              redelivered=False):
    ...     pass

Beneath all of it is a hook bus, where parts announce what happens and anyone may listen, with or
without OpenTelemetry; what is announced is listed in `brama.telemetry.names.HOOKS`:

    >>> from brama.telemetry import attach, detach, execute
    >>> def listen(event, measurements, metadata, config):
    ...     print(event, measurements["count"], metadata["queue"])
    >>> attachment = attach("mine", "shop.*", listen)
    >>> execute("shop.order", {"count": 2}, {"queue": "vip"})
    shop.order 2 vip
    >>> detach("mine")
    True

What an application knows beyond Brama it adds with `enrich` and `enrich_metrics`, and how much an
occurrence matters it decides with `provide_severity`. Tests capture all of it as plain dicts:
`brama.telemetry.testing.capture_telemetry`, and the fixture `brama_spans`.

This is the lowest floor of Brama: it imports no other part, and OpenTelemetry's SDK only when
`configure` is used. The root of Brama's errors stands here for the same reason.
"""

from typing import TYPE_CHECKING

from . import hook_names, metric_names, names
from .actors import listen as _listen
from .beacon import beacon
from .bus import Attachment
from .call import Call, call
from .calls import failed, refused, succeeded
from .context import (
    capture,
    context_of,
    in_unsampled,
    mark,
    marked,
    recorded_span,
    span_context_of,
    traceparent,
)
from .enrichers import Enricher, MetricEnricher, enrich, enrich_metrics
from .errors import BramaError, ConfigError, unknown
from .faults import error_type
from .flags import follow, watching
from .foreign import Context, SpanContext
from .handle import Telemetry
from .health import TelemetryHealth, telemetry_health
from .hooks import (
    Handler,
    Occurrence,
    attach,
    attached,
    detach,
    execute,
    handlers,
    span,
)
from .keywords import UnknownOptionError, takes_only, unknown_option
from .lines import line
from .lines import quieten as _quieten
from .metrics import dropped as dropped_events
from .metrics import source, unknown_kinds
from .metrics import truncated as truncations
from .pools import OTHER as OTHER_POOL
from .pools import have_pools, pool
from .processing import Process, process
from .providers import prepare
from .publications import Publication, publish
from .reals import is_real
from .severity import Severity, SeverityProvider, provide_severity
from .throttle import Throttle
from .transitions import Change, transition
from .turns import Turn

if TYPE_CHECKING:
    from .checking import check_telemetry
    from .export import configure

__all__ = [
    "OTHER_POOL",
    "Attachment",
    "BramaError",
    "Call",
    "Change",
    "ConfigError",
    "Context",
    "Enricher",
    "Handler",
    "MetricEnricher",
    "Occurrence",
    "Process",
    "Publication",
    "Severity",
    "SeverityProvider",
    "SpanContext",
    "Telemetry",
    "TelemetryHealth",
    "Throttle",
    "Turn",
    "UnknownOptionError",
    "attach",
    "attached",
    "beacon",
    "call",
    "capture",
    "check_telemetry",
    "configure",
    "context_of",
    "detach",
    "dropped_events",
    "enrich",
    "enrich_metrics",
    "error_type",
    "execute",
    "failed",
    "follow",
    "handlers",
    "have_pools",
    "hook_names",
    "in_unsampled",
    "is_real",
    "line",
    "mark",
    "marked",
    "metric_names",
    "names",
    "pool",
    "prepare",
    "process",
    "provide_severity",
    "publish",
    "recorded_span",
    "refused",
    "source",
    "span",
    "span_context_of",
    "succeeded",
    "takes_only",
    "telemetry_health",
    "traceparent",
    "transition",
    "truncations",
    "unknown",
    "unknown_kinds",
    "unknown_option",
    "watching",
]

_quieten()
_listen()


def __getattr__(name: str) -> object:
    # The names behind which the SDK stands; only those who use one pay for loading it.
    if name in {"configure", "check_telemetry"}:
        import os

        from .environment import check_of_the_sdk

        check_of_the_sdk(os.environ)
    if name == "configure":
        from .export import configure

        return configure
    if name == "check_telemetry":
        from .checking import check_telemetry

        return check_telemetry
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

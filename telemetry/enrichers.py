"""Enrichers: what an application knows beyond Brama, added to everything that Brama tells.

    import brama.telemetry

    def tenant(event, metadata):
        return {"shop.tenant": TENANTS.get(metadata.get("connection"))}

    brama.telemetry.enrich("tenant", "brama.circuit.*", tenant)

After Polly's `MeteringEnricher`. What one returns reaches the listeners as metadata, the spans and
log events of OpenTelemetry as attributes, and the log lines. Metrics have enrichers of their own,
which see nothing but the attributes of a series: so they can name it, but never split it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .bus import ENRICHERS, METRIC_ENRICHERS, Attachment, made
from .hooks import Metadata, enrichment, failed

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from .metric_names import MetricName

__all__ = ["Enricher", "MetricEnricher", "adorn", "adornment", "enrich", "enrich_metrics", "labels"]

Enricher = Callable[[str, Metadata], Mapping[str, Any] | None]
"""What is called: ``enricher(event, metadata)``; returns what is to be added, or None."""

MetricEnricher = Callable[[str, Mapping[str, str]], Mapping[str, Any] | None]
"""What is called: ``enricher(metric, attributes)``; returns what is to be added, or None."""

_REMEMBERED: Final = 20_000
"""Series whose additions are remembered: more than the SDK keeps (2000 for each metric)."""

_PLAIN: Final = (str, bool, int, float)


def enrich(id: str, events: str | Iterable[str], enricher: Enricher) -> Attachment:
    """Have `enricher` add to what is told of `events`.

    Example:
        >>> from brama.telemetry import attach, detach, execute
        >>> _ = enrich("region", "shop.*", lambda event, metadata: {"region": "eu"})
        >>> _ = attach("mine", "shop.sold", lambda *told: print(told[2]))
        >>> execute("shop.sold", {"price": 3}, {"article": "tea"})
        {'region': 'eu', 'article': 'tea'}
        >>> detach("region"), detach("mine")
        (True, True)

    Args:
        id: names it, for `detach` and for reports.
        events: names of occurrences, as for `attach`. The span, the log event and the log line of
            an occurrence are enriched by its name; the span of a guarded call by the name of its
            outcome, that of a handler by ``brama.notification.process.start``.
        enricher: ``enricher(event, metadata)``, a plain function. Returns a mapping of names to
            values, or None. A name that Brama uses itself keeps Brama's value.

    Listeners get any values. On spans, log events and log lines those that are no text, number or
    truth value appear as text, and None not at all.

    Raises:
        ConfigError: as for `attach`.

    Failure: an enricher that raises is detached and reported like a listener.
    Threads: it is called in the thread of the occurrence, only if somebody will see what it adds,
    and for each of those who do; so it must be quick, must not block, and must not guard calls.
    """
    return ENRICHERS.add(
        made(id, events, enricher, arguments=("event", "metadata"), option="enricher")
    )


def enrich_metrics(id: str, metrics: str | Iterable[str], enricher: MetricEnricher) -> Attachment:
    """Have `enricher` add attributes to the series of `metrics`.

    Example:
        >>> from brama.telemetry import detach
        >>> def team(metric, attributes):
        ...     return {"team": {"payments": "red"}.get(attributes.get("brama.circuit.pool"))}
        >>> _ = enrich_metrics("team", "brama.circuit.*", team)
        >>> detach("team")
        True

    Args:
        id: names it, for `detach` and for reports.
        metrics: names from `brama.telemetry.names.METRICS`, or with a trailing ``*``.
        enricher: ``enricher(metric, attributes)``, a plain function of the attributes that the
            series has. Returns a mapping of names to values, or None.

    Cardinality: the number of series does not grow. An enricher is asked once for each series,
    never for each call, and its first answer holds until an enricher comes or goes.

    Raises:
        ConfigError: as for `attach`.

    Failure: an enricher that raises is detached and reported like a listener.
    Threads: it is called by the thread that collects metrics.
    """
    return METRIC_ENRICHERS.add(
        made(id, metrics, enricher, arguments=("metric", "attributes"), option="enricher")
    )


def adornment(event: str, metadata: Metadata) -> dict[str, AttributeValue]:
    """What the enrichers add, as attributes of a span, a log event or a line."""
    if not ENRICHERS.attached:
        return {}
    return _attributes(enrichment(event, metadata))


def adorn(attributes: dict[str, AttributeValue], event: str, metadata: Metadata) -> None:
    """Add to the attributes of a span or log event what the enrichers do; its own ones stay."""
    for name, value in adornment(event, metadata).items():
        attributes.setdefault(name, value)


def _attributes(added: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {
        name: value if isinstance(value, _PLAIN) else str(value)
        for name, value in added.items()
        if value is not None
    }


class _Series:
    """What was added to each series, of the enrichers that there are now.

    Invariant: a dict is begun anew when an enricher comes or goes, and never again written to by
    those who looked before: so no answer of one that has gone is kept.
    """

    added: ClassVar[dict[tuple[str, tuple[str, ...]], Mapping[str, AttributeValue]]] = {}

    @classmethod
    def forget(cls) -> None:
        cls.added = {}


METRIC_ENRICHERS.changed = (_Series.forget,)


def labels(metric: MetricName, values: tuple[str, ...]) -> dict[str, AttributeValue]:
    """The attributes of a series of `metric`: an empty value is an absent one."""
    own: dict[str, AttributeValue] = {
        name: value for name, value in zip(metric.attributes, values, strict=True) if value
    }
    if METRIC_ENRICHERS.attached:
        return {**_added(metric, values, own), **own}
    return own


def _added(
    metric: MetricName, values: tuple[str, ...], own: Mapping[str, AttributeValue]
) -> Mapping[str, AttributeValue]:
    series = _Series.added  # first: whoever comes or goes from here on begins another one
    key = (metric.name, values)
    known = series.get(key)
    if known is not None:
        return known
    if len(series) >= _REMEMBERED:
        return {}
    added: dict[str, Any] = {}
    for attachment in METRIC_ENRICHERS.those_for(metric.name):
        try:
            more = attachment.handler(metric.name, own)
            added.update({} if more is None else {str(name): more[name] for name in more})
        except Exception as error:  # noqa: BLE001 - metrics are collected all the same
            failed(METRIC_ENRICHERS, attachment, metric.name, error)
    return series.setdefault(key, _attributes(added))

"""What a test has counted, as plain dicts; see `capturing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from . import metrics, names
from .enrichers import labels
from .errors import ConfigError

__all__ = ["CapturedMetrics"]

_METRICS: Final = {metric.name: metric for metric in names.METRICS}


def _figures() -> dict[str, dict[tuple[str, ...], float]]:
    figures = {
        name: metrics.reading(metric)
        for name, metric in _METRICS.items()
        if metric.kind != "histogram"
    }
    for histogram in metrics.histograms:
        figures[histogram.metric.name] = {
            values: series.count for values, series in histogram.snapshot().items()
        }
    return figures


def _has(attributes: Mapping[str, Any], name: str, value: object) -> bool:
    return any(
        (key == name or key.endswith(f".{name}")) and here == value
        for key, here in attributes.items()
    )


class CapturedMetrics(Mapping[str, list[dict[str, Any]]]):
    """What has been counted since the beginning, by the name of the metric.

    Each metric is a list of series: dicts of ``attributes`` and ``value``. That of a histogram is
    the number of its samples. Series that have not changed are left out, and so is what was there
    before: counters of one process go on from test to test, this begins at 0.

    Threads: any.
    """

    def __init__(self) -> None:
        self._before = _figures()

    def value(self, metric: str, **attributes: str) -> float:
        """The sum of the series of `metric` that have these attributes.

        Example:
            >>> with capture_telemetry() as told:
            ...     _ = brama.circuit("orders").call(int)
            ...     told.metrics.value("brama.circuit.calls", pool="orders", outcome="success")
            1.0

        Args:
            metric: its name.
            attributes: the last word of their names is enough.

        Raises:
            ConfigError: there is no such metric.
        """
        if metric not in _METRICS:
            raise ConfigError("metric", f"one of {', '.join(_METRICS)}", metric)
        return sum(
            float(series["value"])
            for series in self.get(metric, [])
            if all(_has(series["attributes"], *each) for each in attributes.items())
        )

    def clear(self) -> None:
        """Count from 0."""
        self._before = _figures()

    def _changed(self) -> dict[str, list[dict[str, Any]]]:
        changed: dict[str, list[dict[str, Any]]] = {}
        for name, series in _figures().items():
            before = self._before.get(name, {})
            for values in sorted({*series, *before}):
                value = series.get(values, 0) - before.get(values, 0)
                if value:
                    attributes = labels(_METRICS[name], values)
                    changed.setdefault(name, []).append({"attributes": attributes, "value": value})
        return changed

    def __getitem__(self, name: str) -> list[dict[str, Any]]:
        return self._changed()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._changed())

    def __len__(self) -> int:
        return len(self._changed())

    def __repr__(self) -> str:
        return f"<CapturedMetrics {self._changed()}>"

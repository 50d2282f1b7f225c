"""The collector: where the spans go, and what can be said about their arrival."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Self

import attrs

import brama.telemetry
from brama.telemetry.testing import Measurement, OtlpReceiver, Span

__all__ = ["Arrival", "Arrivals", "Collector"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_DEADLINE = 2.0
_HURRY = 0.5


class Arrival(StrEnum):
    """What is known about the arrival of the spans."""

    SEEN = "received by the demo's own receiver"
    ACCEPTED = "accepted"
    LOST = "not accepted"
    OFF = "telemetry is switched off"


@attrs.frozen
class Arrivals:
    """What arrived. `spans` and `metrics` are empty unless `arrival` is ``SEEN``."""

    arrival: Arrival
    endpoint: str
    spans: tuple[Span, ...] = ()
    metrics: tuple[Measurement, ...] = ()


class Collector:
    """Sends the telemetry of this process somewhere.

    To the endpoint that `OTEL_EXPORTER_OTLP_ENDPOINT` names, otherwise to a receiver of its own.

    Raises:
        ConfigError: from ``with``, a wrong `OTEL_*` variable.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        named = [environ[name].strip() for name in _ENDPOINTS if environ.get(name, "").strip()]
        self.external = bool(named)
        self.endpoint = named[0].rpartition("@")[2] if named else ""
        self._receiver: OtlpReceiver | None = None
        self._telemetry: brama.telemetry.Telemetry | None = None

    @property
    def where(self) -> str:
        """The endpoint for people."""
        return f"{self.endpoint} ({'yours' if self.external else 'the receiver of the demo'})"

    def __enter__(self) -> Self:
        if self.external:
            named = self._environ.get("OTEL_SERVICE_NAME", "").strip()
            self._telemetry = brama.telemetry.configure(
                service_name=None if named else "brama-demo",
                environ=self._environ,
                deadline=_DEADLINE,
            )
            return self
        self._receiver = OtlpReceiver().__enter__()
        self.endpoint = self._receiver.endpoint
        try:
            # Samplers, exporters and headers that are meant for another collector would make
            # what arrives here incomplete. The switch that turns everything off is respected.
            switch = "OTEL_SDK_DISABLED"
            own = {switch: self._environ[switch]} if switch in self._environ else {}
            self._telemetry = brama.telemetry.configure(
                endpoint=self.endpoint,
                service_name="brama-demo",
                environ={
                    "OTEL_BSP_SCHEDULE_DELAY": "500",
                    "OTEL_BSP_MAX_QUEUE_SIZE": "8192",
                    **own,
                },
                deadline=_DEADLINE,
            )
        except BaseException:
            self._receiver.__exit__(None, None, None)
            raise
        return self

    def finish(self) -> Arrivals:
        """Send what is waiting and say what is known of its arrival. Bounded."""
        assert self._telemetry is not None
        if not self._telemetry.exporting:
            return Arrivals(Arrival.OFF, self.endpoint)
        sent = self._telemetry.shutdown(_DEADLINE)
        if self._receiver is None:
            return Arrivals(Arrival.ACCEPTED if sent else Arrival.LOST, self.endpoint)
        return Arrivals(
            Arrival.SEEN,
            self.endpoint,
            tuple(self._receiver.spans),
            tuple(self._receiver.metrics),
        )

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        if self._telemetry is not None:
            self._telemetry.shutdown(_HURRY)  # does nothing after `finish`
        if self._receiver is not None:
            self._receiver.__exit__(exc_type, exc, traceback)

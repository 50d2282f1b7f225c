"""A service in trouble, for a real Prometheus to scrape: everything that there is an alert for."""

from __future__ import annotations

import sys
import threading
import time

import brama
import brama.telemetry
from brama.actors import Actor, ChildSpec, DynamicSupervisor, start_child


class Fragile(Actor):
    """Crashes over every message."""

    async def on_receive(self, message: object) -> None:
        raise ValueError(message)


class Stuck(Actor):
    """Gets more than it deals with."""

    async def on_receive(self, message: object) -> None:
        import trio

        await trio.sleep(60)


def slow(event: brama.Event) -> None:
    """A handler that keeps the others behind it waiting."""
    time.sleep(0.2)


def broken_handler(event: brama.Event) -> None:
    """A handler that never gets it right."""
    raise ValueError(event.event)


def fail() -> None:
    raise TimeoutError("no answer")


def attempt(circuit: brama.Circuit, function: object) -> None:
    try:
        circuit.call(function)  # type: ignore[arg-type]
    except (TimeoutError, brama.CircuitOpenError):
        pass


def main() -> None:
    brama.telemetry.configure(service_name="shop")
    system = brama.default_system()
    system.subscribe(slow, events=["state_change"])
    system.subscribe(broken_handler, events=["circuit_opened"], max_redeliveries=0)
    for name in ("search", "stock"):
        brama.circuit(name)
    broken = [brama.circuit(name, failure_threshold=2) for name in ("payments", "mail", "geo")]
    flapping = brama.circuit("flapping")
    crew = system.actors.spawn(DynamicSupervisor, intensity=1000, period=1)
    worker = ChildSpec("worker", Fragile, name="worker", restart="permanent")
    start_child(crew, worker).get(timeout=5)
    stuck = system.actors.spawn(Stuck)
    for number in range(20_000):
        stuck.tell(number)
    print("ready", flush=True)

    def until_told() -> None:
        sys.stdin.read()
        done.set()

    done = threading.Event()
    threading.Thread(target=until_told, daemon=True).start()
    while not done.wait(0.05):
        for name in ("search", "stock"):
            attempt(brama.circuit(name), int)
        for circuit in broken:
            attempt(circuit, fail)
        flapping.open_circuit()
        flapping.close_circuit()
        fragile = system.actors.names.whereis("worker")
        if fragile is not None:
            try:
                fragile.tell("break")
            except brama.actors.ActorDeadError:
                pass


if __name__ == "__main__":
    main()

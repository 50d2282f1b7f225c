"""Guard every host that an HTTP client talks to, with one line in the client.

Two mirrors of an article service on loopback are asked by httpx. The adapter makes a circuit for
each; a window forgives single failures, and opens when half of the last calls failed. As long as
one of the group is up the shop goes on, and a health check finds out when the other is back, at the
cost of no call.

    python examples/http_clients.py
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

import brama
from brama.circuits.adapters.httpx import CircuitTransport

MIRRORS = ("north", "south")


def mirror_of(request: httpx.Request) -> str:
    """Both mirrors are the same host here; without this, each host has a circuit of its own."""
    return request.url.path.split("/")[1]


def article(client: httpx.Client, name: str) -> str:
    """The article, from the first mirror that answers, and from which one."""
    for mirror in MIRRORS:
        try:
            answer = client.get(f"/{mirror}/{name}").raise_for_status()
        except brama.CircuitOpenError:
            continue  # not asked: its circuit is open
        except httpx.HTTPError:
            continue  # asked in vain
        return f"{answer.text} from {mirror}"
    return "nothing"


def main() -> None:
    closed = threading.Event()
    with (
        upstream() as base,
        httpx.Client(base_url=base, transport=CircuitTransport(circuit=mirror_of)) as client,
        httpx.Client(base_url=base) as unguarded,
    ):

        def healthy() -> bool:
            return unguarded.get("/north/health").is_success

        # A circuit that exists by the name is used as it is: this mirror has rules of its own.
        brama.circuit(
            "north",
            trip=brama.CountWindow(size=10, rate=0.5, minimum=4),
            slow_after=2.0,
            expiry=60.0,
            health_check=healthy,
            health_interval=0.3,
        )
        brama.register_group("mirrors", MIRRORS, mode="any")
        print("healthy:", dict(Counter(article(client, "tea") for _ in range(2))))

        Upstream.broken = "north"
        print("one broken:", dict(Counter(article(client, "tea") for _ in range(20))))
        print("asked in vain:", brama.status("north").failures)
        print("why:", brama.why("north").reason)
        print("the group is available:", brama.group_available("mirrors"))

        def hear(_event: brama.Event) -> None:
            closed.set()

        with brama.subscribe(hear, events=["circuit_closed"]):
            Upstream.broken = ""
            closed.wait(timeout=10)  # long before the expiry of a minute
        print("healed:", dict(Counter(article(client, "tea") for _ in range(2))))


class Upstream(BaseHTTPRequestHandler):
    """Both mirrors, of which one may be broken."""

    broken = ""

    def do_GET(self) -> None:
        down = self.path.split("/")[1] == self.broken
        self.send_response(503 if down else 200)
        self.end_headers()
        self.wfile.write(b"" if down else b"article")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep the terminal for the example."""


@contextmanager
def upstream() -> Generator[str]:
    """Run the service in a thread; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()

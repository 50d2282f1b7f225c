"""Guard blocking calls, made from several threads, with one circuit.

A price service on loopback breaks for a moment. Workers keep asking it; after three failures in a
row the circuit opens and they show yesterday's price without waiting for anybody.

    python examples/sync_service.py
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

import brama

logger = logging.getLogger("shop")
prices = brama.circuit("price_api", scope="shop", failure_threshold=3, expiry=0.3)


@prices
def price(base: str, article: str) -> str:
    """Ask the price service; a status of 400 or more raises, as urllib does."""
    with urlopen(f"{base}/{article}", timeout=1) as answer:
        return str(answer.read().decode())


def price_or_yesterdays(base: str, article: str) -> str:
    """What the shop shows, whatever happens."""
    try:
        return price(base, article)
    except brama.CircuitOpenError:
        return "9.99 (yesterday's: not asked)"
    except OSError as error:
        return f"9.99 (yesterday's: {error})"


def main() -> None:
    # One line at a time, whichever thread writes it.
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    healed = threading.Event()

    def log(event: brama.Event) -> None:
        logger.info(
            "* %s is %s: %s", event.connection, event.data["new_state"], event.data["reason"]
        )
        if event.data["new_state"] is brama.State.CLOSED:
            healed.set()

    with upstream() as base, brama.subscribe(log, events=["state_change"], scope="shop"):
        logger.info("healthy: %s", price_or_yesterdays(base, "tea"))

        Upstream.broken = True
        with ThreadPoolExecutor(4) as workers:
            shown = list(workers.map(price_or_yesterdays, [base] * 40, ["tea"] * 40))
        asked = sum("503" in text for text in shown)
        logger.info("broken: %d shown, %d of them asked in vain", len(shown), asked)

        Upstream.broken = False
        time.sleep(prices.status().retry_after)
        logger.info("healed: %s", price_or_yesterdays(base, "tea"))
        healed.wait(timeout=2)

    status = prices.status()
    logger.info(
        "%d calls made, %d failed, %d refused", status.calls, status.failures, status.refused
    )


class Upstream(BaseHTTPRequestHandler):
    """The price service."""

    broken = False

    def do_GET(self) -> None:
        self.send_response(503 if self.broken else 200)
        self.end_headers()
        self.wfile.write(b"4.20")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep the terminal for the example."""


@contextmanager
def upstream() -> Generator[str]:
    """Run the price service in a thread; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()

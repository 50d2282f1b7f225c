"""Page somebody when a connection opens, with an actor that may crash.

The pager keeps a note of what is down. Sending fails the first time, as it does in real life: the
actor crashes, is started anew by its supervisor and is given the same event again.

    python examples/handler_actor.py
"""

from __future__ import annotations

import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

import brama
from brama.notifier import HandlerActor

logger = logging.getLogger("example")
mail = brama.circuit("mail", scope="eu", failure_threshold=2, expiry=0.2)


class Pager(HandlerActor):
    """Tells a paging service, over a socket, what is down and what is up again."""

    def __init__(self, address: tuple[str, int], finished: threading.Event) -> None:
        super().__init__()
        self.address = address
        self.finished = finished

    def on_event(self, event: brama.Event) -> None:  # on a worker thread: it may block
        again = " (again)" if event.redelivered else ""
        text = f"{event.n}. {event.event} {event.scope}/{event.connection}{again}"
        with socket.create_connection(self.address, timeout=1) as connection:
            connection.sendall(text.encode())
            if connection.recv(16) != b"ok":
                raise ConnectionError("the paging service did not say ok")
        if event.event == "circuit_closed":
            self.finished.set()


@mail
def send(text: str, *, fails: bool) -> str:
    """Send a mail; that this works again is all the example needs of a mail service."""
    if fails:
        raise ConnectionRefusedError("nobody listens")
    return f"sent {text}"


def main() -> None:
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    logging.getLogger("pykka").setLevel(logging.CRITICAL)  # the crash is meant
    finished = threading.Event()
    with upstream() as address:
        brama.subscribe(
            partial(Pager, address, finished), events=["circuit_opened", "circuit_closed"]
        )
        for _ in range(2):
            try:
                send("news", fails=True)
            except ConnectionRefusedError as error:
                logger.info("mail: %s", error)
        opened = mail.status()
        logger.info("mail is %s, next try in %.1f s", opened.state, opened.retry_after)
        time.sleep(opened.retry_after)
        logger.info("mail: %s", send("news", fails=False))

        if not finished.wait(timeout=2):
            raise SystemExit("the pager has not finished")
        logger.info("%s", brama.default_system().tree())


class Upstream(socketserver.BaseRequestHandler):
    """The paging service; it hangs up on the first page."""

    pages = 0

    def handle(self) -> None:
        text = self.request.recv(1024).decode()
        Upstream.pages += 1
        if Upstream.pages == 1:
            logger.info("pager: (crash) %s", text)
            return
        logger.info("pager: %s", text)
        self.request.sendall(b"ok")


@contextmanager
def upstream() -> Generator[tuple[str, int]]:
    """Run the paging service in a thread; its address."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upstream) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        host, port = server.server_address[:2]
        yield str(host), port
        server.shutdown()


if __name__ == "__main__":
    main()

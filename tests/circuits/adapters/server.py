"""A server on loopback that answers well, badly, halfway or not at all."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qsl, urlsplit

BODY = b"x" * 1000


class Server:
    """Answers each path in its own way.

    ``/ok``, ``/status/503?Retry-After=7`` (the query is headers), ``/to?url``: a redirect,
    ``/cut``: half of a body, ``/cut-chunks``: the same in chunks, ``/hang``: nothing at all,
    ``/drip``: a head and the beginning of a body, ``/empty``: no body, ``/drop``: hangs up at once,
    ``/nonsense``: no HTTP.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                # A peer that has left already, or descriptors that are short for a moment, must not
                # end it: the kernel would go on to take connections that nobody ever answers.
                self._over.wait(0.01)
                continue
            self._open.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            asked = b""
            while b"\r\n\r\n" not in asked:
                more = peer.recv(65536)
                if not more:
                    return
                asked += more
            method, target, _ = asked.split(b" ", 2)
            self._answer(peer, target.decode(), b"" if method == b"HEAD" else b"body")

    def _answer(self, peer: socket.socket, target: str, body: bytes) -> None:
        self.asked.append(target)
        url = urlsplit(target)
        what = url.path.split("/")[1:]
        if what[0] == "ok":
            peer.sendall(head(200, length=len(BODY)) + BODY)
        elif what[0] == "status":
            peer.sendall(head(int(what[1]), dict(parse_qsl(url.query)), length=4) + body)
        elif what[0] == "to":
            peer.sendall(head(302, {"Location": url.query}, length=0))
        elif what[0] == "cut":
            peer.sendall(head(200, length=len(BODY)) + BODY[:500])
        elif what[0] == "cut-chunks":
            peer.sendall(head(200, {"Transfer-Encoding": "chunked"}) + b"1f4\r\n" + BODY[:500])
        elif what[0] == "hang":
            self._over.wait(30)
        elif what[0] == "drip":
            peer.sendall(head(200, length=len(BODY)) + BODY[:500])
            self._over.wait(30)
        elif what[0] == "empty":
            peer.sendall(head(204))
        elif what[0] == "nonsense":
            peer.sendall(b"nonsense\r\n\r\n")
        else:
            assert what[0] == "drop", target
        with suppress(OSError):
            peer.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._open:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)


def head(status: int, headers: dict[str, str] | None = None, *, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} Word", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()

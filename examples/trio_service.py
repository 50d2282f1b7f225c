"""Guard calls on trio, where a hanging service ends in a time-out.

The time-out stands *inside* the guarded function, so the circuit sees a failure. A caller who
loses patience from *outside* cancels the call: that says nothing about the service, and the circuit
counts nothing.

    python examples/trio_service.py
"""

from __future__ import annotations

import trio

import brama

stock = brama.circuit("stock", failure_threshold=2, expiry=0.3)


@stock
async def ask(port: int, article: str) -> str:
    """Ask the stock service, for a tenth of a second at most."""
    with trio.fail_after(0.1):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(article.encode() + b"\n")
            return (await stream.receive_some()).decode()


async def show(port: int) -> None:
    """Print what asking comes to."""
    try:
        print("stock:", await ask(port, "tea"))
    except trio.TooSlowError:
        print("stock: no answer in time")
    except brama.CircuitOpenError as refused:
        print(f"stock: not asked, because of {refused.reason}")


async def main() -> None:
    closed = trio.Event()

    async def log(event: brama.Event) -> None:  # runs here, in the trio run that subscribed it
        print(f"* {event.connection} is {event.data['new_state']}: {event.data['reason']}")
        if event.data["new_state"] is brama.State.CLOSED:
            closed.set()

    upstream = Upstream()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, upstream.answer, 0)
        port: int = listeners[0].socket.getsockname()[1]
        with brama.subscribe(log, events=["state_change"], connection="stock"):
            await show(port)

            upstream.hangs = True
            with trio.move_on_after(0.02):  # the caller's own patience
                await show(port)
            print("failures after a cancelled call:", stock.status().failures)
            for _ in range(4):
                await show(port)

            upstream.hangs = False
            await trio.sleep(stock.status().retry_after)
            await show(port)
            with trio.move_on_after(2):
                await closed.wait()
        nursery.cancel_scope.cancel()


class Upstream:
    """The stock service, which may hang."""

    hangs = False

    async def answer(self, stream: trio.SocketStream) -> None:
        article = (await stream.receive_some()).decode().strip()
        if self.hangs:
            await trio.sleep_forever()
        await stream.send_all(f"12 x {article}".encode())


if __name__ == "__main__":
    trio.run(main)

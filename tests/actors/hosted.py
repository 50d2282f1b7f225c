"""A program that hosts actors: ``python hosted.py HOST ENDING MARKS``.

It starts actors of each kind, says "ready", and ends in the given way. Each actor that was ended in
good order appends a line to the file MARKS, as does each process that goes through its own end.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import trio

from brama.actors import (
    Actor,
    ActorSystem,
    BlockingActor,
    ChildSpec,
    InlineActor,
    which_children,
)

HOST, ENDING, MARKS = sys.argv[1:4] if len(sys.argv) > 3 else ("", "", "")


def mark(text):
    with Path(MARKS).open("a") as file:
        file.write(f"{text}\n")


def ready():
    print("ready", flush=True)


class Inline(InlineActor):
    def on_receive(self, message):
        return message

    def on_stop(self):
        mark("inline")


class Async(Actor):
    async def on_receive(self, message):
        return message

    async def on_stop(self):
        await trio.sleep(0)
        mark("async")


class Blocking(BlockingActor):
    def on_receive(self, message):
        return message

    def on_stop(self):
        mark("blocking")


KINDS = (Inline, Async, Blocking)


def supervised():
    """A system with a child of each kind."""
    return ActorSystem("hosted", children=[ChildSpec(kind.__name__, kind) for kind in KINDS])


def use(system):
    for child in children(system):
        assert child.ask("x", timeout=5) == "x"


def children(system):
    return [child.ref for child in which_children(system.root).get(timeout=5)]


def chatter(refs):
    """Daemon threads that go on telling and asking until the process is gone."""

    def talk():
        while True:
            for ref in refs:
                try:
                    ref.tell("x")
                    ref.ask("x", timeout=1)
                except Exception:
                    time.sleep(0.001)

    for _ in range(3):
        threading.Thread(target=talk, daemon=True).start()
    time.sleep(0.1)


def on_sigterm_exit():
    """As servers do: an orderly exit out of the handler."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def wait_for_the_signal():
    ready()
    while True:
        time.sleep(60)


def end(system):
    """End the calling process in the way that was asked for; from its main thread."""
    if ENDING == "sigterm":
        on_sigterm_exit()
        wait_for_the_signal()
    if ENDING == "unhandled":
        wait_for_the_signal()
    if ENDING == "chatter":
        chatter(children(system))
    ready()
    if ENDING == "normal":
        assert system.stop().complete
    elif ENDING == "exception":
        raise ValueError("mine")


def plain():
    system = supervised().start()
    use(system)
    end(system)


def threads():
    system = supervised()
    workers = [threading.Thread(target=lambda: use(system.start())) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # A thread of the host that is still at work when the main one is through.
    late = threading.Thread(target=lambda: (time.sleep(0.2), mark("thread")))
    late.start()
    end(system)


def on_asyncio():
    async def main():
        system = await asyncio.to_thread(supervised().start)
        refs = await asyncio.to_thread(children, system)
        assert await asyncio.gather(*(reply(ref) for ref in refs)) == ["x"] * 3
        if ENDING == "sigterm":
            over = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
            ready()
            await over.wait()
            return
        if ENDING == "chatter":
            chatter(refs)
        ready()
        if ENDING == "normal":
            assert (await asyncio.to_thread(system.stop)).complete
        elif ENDING == "exception":
            raise ValueError("mine")

    async def reply(ref):
        return await ref.ask("x", block=False)

    asyncio.run(main())


def on_trio():
    async def main():
        system = supervised()
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            assert {node.status for node in system.tree().walk()} == {"running"}
            if ENDING == "chatter":
                chatter(await trio.to_thread.run_sync(children, system))
            if ENDING == "sigterm":
                with trio.open_signal_receiver(signal.SIGTERM) as signals:
                    ready()
                    async for _ in signals:
                        break
            else:
                ready()
            if ENDING == "exception":
                raise ValueError("mine")
            if ENDING == "normal":
                system.request_stop()
            else:
                nursery.cancel_scope.cancel()  # a stop that was forgotten: the host just leaves

    trio.run(main)


def serve():
    """A worker of a prefork server, or a child of multiprocessing."""
    system = supervised().start()
    use(system)
    mark("worker")
    if ENDING == "sigterm":
        on_sigterm_exit()
        mark("serving")
        while True:
            time.sleep(60)
    if ENDING == "chatter":
        chatter(children(system))
    if ENDING == "normal":
        assert system.stop().complete
    elif ENDING == "exception":
        raise ValueError("mine")


def lines(text):
    try:
        return Path(MARKS).read_text().split("\n").count(text)
    except FileNotFoundError:
        return 0


def prefork():
    """A master that has used actors before it forks its workers, as with gunicorn's preload."""
    system = supervised().start()
    use(system)
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            serve()
            sys.exit(0)
        pids.append(pid)
    if ENDING == "sigterm":
        # Not the exit handler's business: the master passes the signal on and reaps.
        def forward(*_):
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            reap(pids)
            sys.exit(0)

        while lines("serving") < 2:
            time.sleep(0.01)
        signal.signal(signal.SIGTERM, forward)
        wait_for_the_signal()
    ready()
    reap(pids)
    if ENDING == "normal":
        assert system.stop().complete
    elif ENDING == "exception":
        raise ValueError("mine")


def reap(pids):
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        mark(f"status {os.waitstatus_to_exitcode(status)}")


def in_child(method):
    system = supervised().start()
    use(system)
    context = multiprocessing.get_context(method)
    child = context.Process(target=child_main, args=(ENDING, MARKS))
    child.start()
    if ENDING == "sigterm":

        def forward(*_):
            child.terminate()
            child.join()
            mark(f"status {child.exitcode}")
            sys.exit(0)

        while lines("serving") < 1:
            time.sleep(0.01)
        signal.signal(signal.SIGTERM, forward)
        wait_for_the_signal()
    ready()
    child.join()
    mark(f"status {child.exitcode}")
    if ENDING == "normal":
        assert system.stop().complete
    elif ENDING == "exception":
        raise ValueError("mine")


def child_main(ending, marks):
    global ENDING, MARKS
    ENDING, MARKS = ending, marks
    serve()


HOSTS = {
    "plain": plain,
    "threads": threads,
    "asyncio": on_asyncio,
    "trio": on_trio,
    "prefork": prefork,
    "multiprocessing-fork": lambda: in_child("fork"),
    "multiprocessing-spawn": lambda: in_child("spawn"),
}

if __name__ == "__main__":
    HOSTS[HOST]()

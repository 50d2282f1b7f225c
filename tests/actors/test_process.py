"""Living in other people's processes: exit, fork, gevent. Each case is a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).resolve().parents[2] / "src")

PRELUDE = """
import os, signal, sys, threading, time
import pykka, trio
from brama.actors import *

class Echo(InlineActor):
    def on_receive(self, message):
        return message
    def on_stop(self):
        print("cleaned up", flush=True)

class Slow(Actor):
    async def on_receive(self, message):
        await trio.sleep(1000)
"""


def run(body, *, expect=0, timeout=30):
    """Run ``body`` behind the prelude in a fresh interpreter; returns what it printed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": SOURCE},
        check=False,
    )
    assert time.monotonic() - began < timeout
    assert done.returncode == expect, done.stderr
    return done.stdout.split("\n")[:-1], done.stderr


def test_the_import_starts_no_thread():
    out, _ = run("print(threading.active_count())")
    assert out == ["1"]


@pytest.mark.parametrize("end", ["", "s.stop()"], ids=["exit", "stop"])
def test_an_end_does_not_overtake_a_start_that_is_under_way(end):
    out, err = run(f"""
        class Child(Echo):
            def on_start(self):
                print("started", flush=True)
        s = ActorSystem("s", children=[ChildSpec("c", Child)])
        s.start_soon()
        {end}
    """)
    assert out == ["started", "cleaned up"]
    assert err == ""


def test_a_start_that_hangs_does_not_keep_the_end_waiting_for_ever():
    out, _ = run("""
        class Hangs(Actor):
            async def on_start(self):
                await trio.sleep_forever()
        s = ActorSystem("s", children=[ChildSpec("h", Hangs)], stop_timeout=0.6)
        s.start_soon()
        began = time.monotonic()
        report = s.stop()
        print(report.complete, time.monotonic() - began < 1.1)
    """)
    assert out == ["True True"]


@pytest.mark.requirement("actors:embedding")
@pytest.mark.parametrize(
    "start",
    [
        "ref = Echo.start()",
        "s = ActorSystem('s').start(); ref = s.spawn(Echo)",
        "s = ActorSystem('s', children=[ChildSpec('e', Echo, name='e')]).start(); "
        "ref = s.names.whereis('e')",
    ],
    ids=["default system", "spawned", "supervised"],
)
def test_a_forgotten_stop_is_made_good_at_exit(start):
    out, err = run(f"{start}\nprint(ref.ask('hi'))")
    assert out == ["hi", "cleaned up"]
    assert err == ""


@pytest.mark.requirement("actors:embedding")
def test_the_exit_by_an_exception_cleans_up_too():
    out, err = run("Echo.start().ask(1)\nraise ValueError('mine')", expect=1)
    assert out == ["cleaned up"]
    assert "ValueError: mine" in err


@pytest.mark.requirement("actors:embedding")
def test_an_actor_that_does_not_end_does_not_hold_up_the_exit():
    body = """
        class Stuck(BlockingActor):
            def on_receive(self, message):
                time.sleep(1000)
        s = ActorSystem("s", stop_timeout=0.3).start()
        s.spawn(Stuck).tell(1)
        time.sleep(0.1)
    """
    began = time.monotonic()
    run(body)
    assert time.monotonic() - began < 5


@pytest.mark.requirement("actors:embedding")
def test_after_the_exit_tells_are_dropped_and_counted_and_no_thread_starts():
    body = """
        import atexit
        s = ActorSystem("s")
        def last():
            # Registered before the system's own handler, so called after it.
            ref.tell("late")
            print(s.dead_letters.count, threading.active_count())
            try:
                s.spawn(Echo)
            except SystemStoppedError as error:
                print(error)
        atexit.register(last)
        ref = s.start().spawn(Slow)
    """
    out, err = run(body)
    assert out == ["1 1", "s was stopped: call start() to use it again, or make a new system"]
    assert err == ""


@pytest.mark.requirement("actors:embedding")
def test_daemon_threads_that_go_on_telling_do_not_disturb_the_exit():
    body = """
        ref = Echo.start()
        def chatter():
            while True:
                for _ in range(100):
                    ref.tell("x")
                time.sleep(0.001)  # else what they say in 0.2 s takes a busy machine too long
        for _ in range(3):
            threading.Thread(target=chatter, daemon=True).start()
        time.sleep(0.2)
    """
    out, _ = run(body)
    assert out == ["cleaned up"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.requirement("actors:embedding")
def test_after_a_fork_old_refs_fail_at_once_and_the_system_starts_afresh():
    body = """
        log = []
        class Child(InlineActor):
            def on_receive(self, message):
                return os.getpid()
        s = ActorSystem("s", children=[ChildSpec("c", Child, name="c")],
                        stop_timeout=0.5).start()
        ref, started, slow = s.names.whereis("c"), Echo.start(), s.spawn(Slow)
        parent = ref.ask(1)
        pending = slow.ask(1, block=False)
        pid = os.fork()
        if pid == 0:
            for send in (lambda: ref.tell(1), lambda: ref.ask(1), lambda: started.ask(1),
                         lambda: pending.get(timeout=5)):
                try:
                    send()
                    print("delivered?")
                except ActorDeadError as error:
                    print("created before os.fork()" in str(error))
            print(pykka.ActorRegistry.get_all(), s.running, s.names.whereis("c"))
            s.start()
            print(s.names.via("c").ask(1, timeout=5) == os.getpid() != parent)
            print(Echo.start().ask("again", timeout=5))
            sys.stdout.flush()
            s.stop()
            os._exit(0)
        os.waitpid(pid, 0)
        print(ref.ask(1) == parent)
        started.stop()
        s.stop()
    """
    out, err = run(body)
    assert out == [
        "True",
        "True",
        "True",
        "True",
        "[] False None",
        "True",
        "again",
        "True",
        "cleaned up",
    ]
    assert err == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.requirement("actors:embedding")
def test_after_a_fork_registries_are_empty_and_usable():
    body = """
        s = ActorSystem("s").start()
        topics, names = DuplicateRegistry(), Names()
        ref = s.spawn(Slow)
        topics.register("t", ref)
        names.register("n", ref)
        topics._lock.acquire()   # as another thread of the parent may have
        pid = os.fork()
        if pid == 0:
            signal.alarm(5)
            print(topics.lookup("t"), names.whereis("n"), len(topics), len(names))
            again = Echo.start()
            topics.register("t", again)
            names.register("n", again)
            print(topics.publish("t", "x"), names.whereis("n") is again)
            sys.stdout.flush()
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
        topics._lock.release()
        print(len(topics), names.whereis("n") is ref)
    """
    out, err = run(body)
    assert out == ["() None 0 0", "1 True", "0", "1 True"], err


@pytest.mark.skipif(sys.platform != "linux", reason="calls fork() of the C library")
@pytest.mark.requirement("actors:embedding")
def test_after_a_fork_behind_the_back_of_python_a_reset_does_what_is_needed():
    body = """
        import ctypes
        ref = Echo.start()
        ref.ask("x")
        print(reset_after_fork())
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            signal.alarm(5)
            print(reset_after_fork(), reset_after_fork())
            try:
                ref.tell("x")
            except ActorDeadError as error:
                print("created before os.fork()" in str(error))
            print(Echo.start().ask("again", timeout=5))
            sys.stdout.flush()
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
    """
    out, err = run(body)
    assert out == ["False", "True False", "True", "again", "0", "cleaned up"], err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.requirement("actors:embedding")
def test_a_fork_amid_traffic_never_hangs_the_child():
    body = """
        refs = [Echo.start() for _ in range(4)]
        def chatter(ref):
            while True:
                ref.ask("x", timeout=5)
        for ref in refs:
            threading.Thread(target=chatter, args=(ref,), daemon=True).start()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                signal.alarm(5)
                try:
                    refs[0].tell("x")
                except ActorDeadError:
                    pass
                ok = Echo.start().ask("y", timeout=3) == "y"
                os._exit(0 if ok else 1)
            _, status = os.waitpid(pid, 0)
            assert status == 0, status
        print("all well")
        os._exit(0)
    """
    out, err = run(body, timeout=60)
    assert out == ["all well"], err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.requirement("actors:embedding")
def test_a_child_that_is_forked_while_the_default_system_is_made_makes_its_own():
    body = """
        from brama.actors import default
        making, go = threading.Event(), threading.Event()
        def slowly(name):
            making.set()
            go.wait(10)
            return ActorSystem(name)
        default.ActorSystem = slowly
        thread = threading.Thread(target=default_actor_system)
        thread.start()
        assert making.wait(10)
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)  # a lock that nobody gives back is waited for for ever
            default.ActorSystem = ActorSystem
            os._exit(0 if Echo.start().ask("y", timeout=5) == "y" else 1)
        go.set()
        thread.join()
        print(os.waitpid(pid, 0)[1], default_actor_system() is default_actor_system())
    """
    out, err = run(body)
    assert out == ["0 True"], err


@pytest.mark.requirement("actors:embedding")
def test_multiprocessing_by_fork_and_by_spawn_works(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        PRELUDE
        + textwrap.dedent(
            """
            import multiprocessing
            def work(queue):
                queue.put(Echo.start().ask("from the child", timeout=5))
            if __name__ == "__main__":
                Echo.start().ask(1)
                for method in multiprocessing.get_all_start_methods():
                    if method == "forkserver":
                        continue
                    context = multiprocessing.get_context(method)
                    queue = context.Queue()
                    process = context.Process(target=work, args=(queue,))
                    process.start()
                    answer = queue.get(timeout=10)
                    process.join(10)
                    print(method, answer, flush=True)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": SOURCE},
        check=True,
    )
    lines = done.stdout.splitlines()
    assert "fork from the child" in lines
    assert "spawn from the child" in lines
    assert lines.count("cleaned up") == 3  # in both children, and in the parent


@pytest.mark.requirement("actors:embedding")
def test_a_process_that_gevent_has_patched_is_refused_with_a_clear_text():
    body = """
        import types
        fake = types.ModuleType("gevent.monkey")
        fake.is_module_patched = lambda name: name in ("socket", "threading")
        sys.modules["gevent.monkey"] = fake
        try:
            Echo.start()
        except RuntimeError as error:
            print(type(error).__name__, error)
    """
    out, _ = run(body)
    assert out[0].startswith("HostError gevent has monkey-patched socket, threading, and trio")


@pytest.mark.requirement("actors:embedding")
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_in_a_trio_host_ends_the_tree_in_order():
    body = """
        async def main():
            system = ActorSystem("s", children=[ChildSpec("e", Echo)])
            async with trio.open_nursery() as nursery:
                await nursery.start(system.run)
                print("up", flush=True)
                os.kill(os.getpid(), signal.SIGINT)
                await trio.sleep(5)
        try:
            trio.run(main)
        except* KeyboardInterrupt:
            print("interrupted")
    """
    out, _ = run(body)
    assert out == ["up", "cleaned up", "interrupted"]
    assert signal.SIGINT


@pytest.mark.requirement("actors:embedding")
def test_it_serves_an_asyncio_host():
    body = """
        import asyncio
        async def main():
            refs = [Echo.start() for _ in range(3)]
            print(await asyncio.gather(*(asyncio.wait_for(reply(ref), 5) for ref in refs)))
        async def reply(ref):
            return await ref.ask("hi", block=False)
        asyncio.run(main())
    """
    out, _ = run(body)
    assert out == ["['hi', 'hi', 'hi']", "cleaned up", "cleaned up", "cleaned up"]

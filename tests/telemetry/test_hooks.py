"""The hook bus: who hears what, and what a bad listener can do (nothing)."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from brama.telemetry import (
    ConfigError,
    attach,
    attached,
    bus,
    detach,
    execute,
    faults,
    handlers,
    hook_names,
    hooks,
    names,
    span,
)
from brama.telemetry.throttle import Throttle


@pytest.fixture(autouse=True)
def _nobody_attached(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(faults, "_listeners", Throttle())
    before = handlers()
    hooks.reset()
    yield
    hooks.reset()
    for each in before:
        attach(each.id, each.events, each.handler, each.config)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = []

    def __call__(self, event: str, measurements: Any, metadata: Any, config: Any) -> None:
        self.calls.append((event, dict(measurements), dict(metadata), config))

    @property
    def events(self) -> list[str]:
        return [event for event, *_ in self.calls]


def fail(event: str, measurements: Any, metadata: Any, config: Any) -> None:
    raise LookupError("a bad listener")


def test_a_listener_is_given_what_was_announced_and_its_own_config() -> None:
    heard = Heard()
    attach("mine", "shop.sold", heard, {"a": 1})
    execute("shop.sold", {"price": 2.5}, {"article": "tea"})
    assert heard.calls == [("shop.sold", {"price": 2.5}, {"article": "tea"}, {"a": 1})]


def test_an_occurrence_needs_neither_measurements_nor_metadata() -> None:
    heard = Heard()
    attach("mine", "shop.opened", heard)
    execute("shop.opened")
    assert heard.calls == [("shop.opened", {}, {}, None)]


def test_a_listener_hears_only_what_it_named() -> None:
    heard = Heard()
    attach("mine", ["shop.sold", "shop.closed"], heard)
    for event in ("shop.sold", "shop.opened", "shop.closed", "shop.sold.twice"):
        execute(event)
    assert heard.events == ["shop.sold", "shop.closed"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("shop.*", ["shop.sold", "shop.sold.twice"]),
        ("*", ["shop.sold", "shop.sold.twice", "shopping"]),
        ("shop*", ["shop.sold", "shop.sold.twice", "shopping"]),
    ],
)
def test_a_trailing_star_stands_for_any_rest(pattern: str, expected: list[str]) -> None:
    heard = Heard()
    attach("mine", pattern, heard)
    for event in ("shop.sold", "shop.sold.twice", "shopping"):
        execute(event)
    assert heard.events == expected


def test_a_listener_of_overlapping_names_is_called_once() -> None:
    heard = Heard()
    attach("mine", ["shop.*", "shop.sold"], heard)
    execute("shop.sold")
    assert heard.events == ["shop.sold"]


def test_listeners_are_called_in_the_order_of_their_attaching() -> None:
    order: list[str] = []
    for id in ("first", "second", "third"):
        attach(id, "*", lambda *_call, id=id: order.append(id))
    execute("shop.sold")
    assert order == ["first", "second", "third"]


def test_a_listener_runs_in_the_thread_that_announces() -> None:
    threads: list[int] = []
    attach("mine", "*", lambda *_call: threads.append(threading.get_ident()))
    other = threading.Thread(target=execute, args=("shop.sold",))
    other.start()
    other.join()
    execute("shop.sold")
    assert threads == [other.ident, threading.get_ident()]


def test_an_id_that_is_taken_is_refused_and_the_first_listener_stays() -> None:
    heard = Heard()
    attach("mine", "shop.sold", heard)
    with pytest.raises(ConfigError) as raised:
        attach("mine", "shop.sold", Heard())
    assert "'mine'" in str(raised.value)
    assert "detach" in str(raised.value)
    execute("shop.sold")
    assert heard.events == ["shop.sold"]


def test_a_detached_listener_hears_no_more_and_its_id_is_free() -> None:
    heard = Heard()
    attach("mine", "shop.sold", heard)
    assert detach("mine") is True
    execute("shop.sold")
    assert heard.events == []
    assert detach("mine") is False
    attach("mine", "shop.sold", heard)


def test_a_listener_that_is_attached_later_hears_what_was_announced_before_by_others() -> None:
    first, second = Heard(), Heard()
    attach("first", "shop.*", first)
    execute("shop.sold")  # remembers who hears it
    attach("second", "shop.sold", second)
    execute("shop.sold")
    assert second.events == ["shop.sold"]


def test_attached_tells_whether_measuring_is_worth_it() -> None:
    assert not attached("shop.sold")
    attach("mine", "shop.*", Heard())
    assert attached("shop.sold")
    assert not attached("bank.robbed")
    detach("mine")
    assert not attached("shop.sold")


def test_handlers_lists_who_is_attached() -> None:
    attach("first", "shop.*", Heard(), 1)
    attach("second", "bank.*", Heard())
    assert [(each.id, each.events, each.config) for each in handlers()] == [
        ("first", ("shop.*",), 1),
        ("second", ("bank.*",), None),
    ]
    assert [each.id for each in handlers("bank.robbed")] == ["second"]


@pytest.mark.parametrize(
    ("id", "events", "handler", "option"),
    [
        ("", "shop", print, "id"),
        (None, "shop", print, "id"),
        ("mine", "", print, "events"),
        ("mine", [], print, "events"),
        ("mine", [7], print, "events"),
        ("mine", 7, print, "events"),
        ("mine", None, print, "events"),
        ("mine", "shop.*.sold", print, "events"),
        ("mine", "shop", "print", "handler"),
        ("mine", "shop", lambda event: None, "handler"),
    ],
)
def test_a_wrong_listener_is_refused_where_it_is_given(
    id: Any, events: Any, handler: Any, option: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        attach(id, events, handler)
    assert raised.value.option == option
    assert handlers() == []


def test_a_coroutine_function_is_refused_for_nobody_would_await_it() -> None:
    async def listen(event: str, measurements: Any, metadata: Any, config: Any) -> None: ...

    with pytest.raises(ConfigError) as raised:
        attach("mine", "*", listen)
    assert "await" in str(raised.value)


def test_a_listener_that_raises_is_detached_and_the_others_hear_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before, after = Heard(), Heard()
    attach("before", "shop.*", before)
    attach("bad", "shop.*", fail)
    attach("after", "shop.*", after)
    execute("shop.sold")
    execute("shop.sold")
    assert [each.id for each in handlers()] == ["before", "after"]
    assert before.events == after.events == ["shop.sold", "shop.sold"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("brama.telemetry", logging.WARNING)
    assert "'bad'" in record.getMessage()
    assert record.exc_info is not None


def test_the_failure_of_a_listener_is_an_occurrence_itself() -> None:
    heard = Heard()
    attach("watch", hook_names.HANDLER_FAILURE, heard)
    attach("bad", "shop.*", fail, "config")
    execute("shop.sold")
    ((event, measurements, metadata, _config),) = heard.calls
    assert event == hook_names.HANDLER_FAILURE
    assert set(measurements) == {"system_time", "monotonic_time"}
    assert metadata["id"] == "bad"
    assert metadata["event"] == "shop.sold"
    assert metadata["events"] == ("shop.*",)
    assert metadata["handler"] is fail
    assert metadata["config"] == "config"
    assert metadata["kind"] == "error"
    assert isinstance(metadata["reason"], LookupError)
    assert "a bad listener" in metadata["stacktrace"]


def test_a_listener_of_failures_that_raises_is_detached_as_well() -> None:
    attach("worse", hook_names.HANDLER_FAILURE, fail)
    attach("bad", "shop.*", fail)
    execute("shop.sold")
    assert handlers() == []


def test_a_listener_that_announces_what_it_hears_is_detached_and_not_fatal() -> None:
    attach("echo", "shop.*", lambda event, *_rest: execute(event))
    execute("shop.sold")
    assert handlers() == []


def test_many_bad_listeners_make_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(20):
        attach(f"bad-{number}", "shop.*", fail)
    execute("shop.sold")
    assert handlers() == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_what_a_signal_raises_in_a_listener_is_not_its_failure(signal: type[BaseException]) -> None:
    def interrupted(*_call: Any) -> None:
        raise signal

    attach("mine", "*", interrupted)
    with pytest.raises(signal):
        execute("shop.sold")
    assert [each.id for each in handlers()] == ["mine"]


def test_a_listener_may_detach_itself_and_attach_another() -> None:
    heard = Heard()

    def once(*_call: Any) -> None:
        detach("once")
        attach("next", "shop.*", heard)

    attach("once", "shop.*", once)
    execute("shop.sold")
    execute("shop.sold")
    assert [each.id for each in handlers()] == ["next"]
    assert heard.events == ["shop.sold"]


def test_a_span_announces_its_start_and_its_stop() -> None:
    heard = Heard()
    attach("mine", "shop.import.*", heard)
    with span("shop.import", {"source": "nightly"}) as stop:
        assert heard.events == ["shop.import.start"]
        stop["rows"] = 3
    start, end = heard.calls
    assert set(start[1]) == {"system_time", "monotonic_time"}
    assert set(end[1]) == {"system_time", "monotonic_time", "duration"}
    assert end[1]["duration"] == end[1]["monotonic_time"] - start[1]["monotonic_time"] >= 0
    assert start[2]["source"] == end[2]["source"] == "nightly"
    assert "rows" not in start[2]
    assert end[2]["rows"] == 3


def test_start_and_stop_of_one_span_can_be_told_from_those_of_another() -> None:
    heard = Heard()
    attach("mine", "shop.*", heard)
    with span("shop.import"), span("shop.import"):
        pass
    outer, inner, inner_end, outer_end = (call[2]["telemetry_span_context"] for call in heard.calls)
    assert inner is inner_end
    assert outer is outer_end
    assert inner is not outer


def test_a_span_announces_an_exception_and_lets_it_go_on() -> None:
    heard = Heard()
    attach("mine", "shop.*", heard)
    with pytest.raises(LookupError), span("shop.import", {"source": "nightly"}):
        raise LookupError("gone")
    _start, end = heard.calls
    assert end[0] == "shop.import.exception"
    assert end[1]["duration"] >= 0
    assert end[2]["kind"] == "error"
    assert isinstance(end[2]["reason"], LookupError)
    assert end[2]["source"] == "nightly"


async def test_a_cancelled_span_ends_by_an_exit_and_no_error() -> None:
    import trio

    heard = Heard()
    attach("mine", "shop.*", heard)
    with trio.CancelScope() as scope, span("shop.import"):
        scope.cancel()
        await trio.lowlevel.checkpoint()
    assert heard.events == ["shop.import.start", "shop.import.exception"]
    assert heard.calls[1][2]["kind"] == "exit"


def test_a_watcher_is_told_of_every_change_and_once_at_first() -> None:
    flags: list[bool] = []

    def look() -> None:
        flags.append(attached("shop.sold"))

    hooks.watch(look)
    try:
        attach("mine", "shop.*", Heard())
        detach("mine")
    finally:
        hooks.unwatch(look)
    attach("mine", "shop.*", Heard())
    assert flags == [False, True, False]


def test_names_without_end_do_not_grow_the_bus() -> None:
    heard = Heard()
    attach("mine", "shop.*", heard)
    for number in range(5000):
        execute(f"shop.{number}")
    assert len(heard.calls) == 5000
    assert len(bus.LISTENERS.routes) <= 1024


def test_occurrences_are_neither_lost_nor_doubled_while_others_come_and_go() -> None:
    counts = [0] * 4

    def count(_event: str, _measurements: Any, metadata: Any, _config: Any) -> None:
        counts[metadata["thread"]] += 1

    attach("steady", "shop.*", count)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            attach("passing", "shop.*", Heard())
            detach("passing")

    def announce(thread: int) -> None:
        for _ in range(2000):
            execute("shop.sold", {}, {"thread": thread})

    churning = threading.Thread(target=churn)
    churning.start()
    announcing = [threading.Thread(target=announce, args=(number,)) for number in range(4)]
    for thread in announcing:
        thread.start()
    for thread in announcing:
        thread.join()
    stop.set()
    churning.join()
    assert counts == [2000] * 4


def test_a_forked_child_keeps_the_listeners_and_can_attach_more() -> None:
    attach("mine", "shop.*", Heard())
    bus.LISTENERS.lock.acquire()  # as another thread might hold it at the moment of the fork
    child = os.fork()
    if child == 0:
        status = 1
        try:
            other = threading.Thread(target=attach, args=("child", "shop.*", Heard()))
            other.start()
            other.join(5)
            status = 0 if [each.id for each in handlers()] == ["mine", "child"] else 2
        finally:
            os._exit(status)
    bus.LISTENERS.lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_every_name_of_an_occurrence_is_listed_once_and_says_what_it_tells() -> None:
    listed = [hook.name for hook in names.HOOKS]
    assert len(listed) == len(set(listed))
    constants = {
        value
        for name, value in vars(hook_names).items()
        if name.isupper() and name != "HOOKS" and isinstance(value, str)
    }
    assert constants == set(listed)
    assert all(hook.when and hook.measurements and hook.metadata for hook in names.HOOKS)
    assert all(name.startswith("brama.") for name in listed)


def test_what_attaching_returned_ends_this_one_and_no_other_of_its_name() -> None:
    heard: list[str] = []
    first = attach("mine", "mine.*", lambda event, *_: heard.append("first"))
    assert detach(first)
    attach("mine", "mine.*", lambda event, *_: heard.append("second"))
    assert not detach(first)
    execute("mine.one")
    assert heard == ["second"]


def test_what_a_listener_costs_does_not_grow_with_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    hears = bus.Attachment.hears

    def counted(attachment: bus.Attachment, event: str) -> bool:
        asked.append(event)
        return hears(attachment, event)

    monkeypatch.setattr(bus.Attachment, "hears", counted)
    heard = []
    for number in range(2_000):
        attach(f"mine {number}", ["mine.one", "mine.*"][number % 2], lambda *_: heard.append(1))
    execute("mine.one")
    assert len(heard) == 2_000
    for number in range(2_000):
        detach(f"mine {number}")
    execute("mine.one")
    assert len(heard) == 2_000
    assert len(asked) < 50 * 2_000


def test_listeners_that_come_late_are_in_the_order_of_their_attaching() -> None:
    heard: list[str] = []
    attach("exact", "mine.one", lambda *_: heard.append("exact"))
    execute("mine.one")  # the way is known now, and carried over
    attach("pattern", "mine.*", lambda *_: heard.append("pattern"))
    attach("both", ["mine.one", "mine.*"], lambda *_: heard.append("both"))
    detach("exact")
    attach("exact", "mine.one", lambda *_: heard.append("exact"))
    heard.clear()
    execute("mine.one")
    assert heard == ["pattern", "both", "exact"]


@pytest.mark.parametrize(
    ("wrong", "given"),
    [
        (detach, None),
        (detach, ["mine"]),
        (span, 5),
        (span, ""),
        (lambda metadata: span("mine", metadata), 5),
        (execute, 5),
        (execute, ["mine"]),
    ],
    ids=[
        "detach-none",
        "detach-list",
        "span-number",
        "span-empty",
        "metadata",
        "execute",
        "execute-list",
    ],
)
def test_what_is_no_name_is_refused_where_it_is_given(
    wrong: Callable[[Any], object], given: object
) -> None:
    heard: list[str] = []
    attach("mine", "*", lambda event, *_: heard.append(event))
    with pytest.raises(ConfigError):
        wrong(given)
    execute("mine.one")
    assert heard == ["mine.one"]

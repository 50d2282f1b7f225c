"""The mailbox alone: lanes, wake-ups, closing."""

from __future__ import annotations

import threading

import pytest

from brama.actors.mailbox import Mailbox


def make():
    woken = []
    return Mailbox(woken.append), woken


def drain(mailbox):
    got = []
    while mailbox.take():
        got += [*mailbox.take_control(), *(mailbox._rest or ())]
        mailbox._rest = None
    return got


def test_the_consumer_is_woken_once_per_idle_phase():
    mailbox, woken = make()
    mailbox.send(1)
    mailbox.send(2)
    mailbox.send_control("c")
    assert woken == [mailbox]
    assert drain(mailbox) == ["c", 1, 2]
    assert mailbox.idle
    mailbox.send(3)
    assert woken == [mailbox, mailbox]


@pytest.mark.requirement("actors:mailbox")
def test_control_is_read_before_user_mail():
    mailbox, _ = make()
    for item in (1, 2):
        mailbox.send(item)
    for item in ("a", "b"):
        mailbox.send_control(item)
    assert drain(mailbox) == ["a", "b", 1, 2]


@pytest.mark.requirement("actors:mailbox")
def test_length_and_peak_are_counted():
    mailbox, _ = make()
    for item in range(5):
        mailbox.send(item)
    mailbox.send_control("c")
    assert mailbox.length == 6
    drain(mailbox)
    assert (mailbox.length, mailbox.peak) == (0, 5)


def test_a_closed_mailbox_refuses_and_hands_out_what_was_left():
    mailbox, _ = make()
    mailbox.send(1)
    mailbox.send_control("c")
    mailbox.take()
    mailbox.send(2)
    assert mailbox.close() == ["c", 1, 2]
    assert not mailbox.send(3)
    assert not mailbox.send_control(4)
    assert mailbox.close() == []


@pytest.mark.requirement("actors:no-lost-replies")
def test_no_message_is_lost_between_senders_and_a_close():
    for _ in range(50):
        mailbox, _ = make()
        accepted, barrier = [[] for _ in range(4)], threading.Barrier(5)

        def send(mine, box=mailbox, gate=barrier):
            gate.wait()
            for item in range(200):
                if not box.send(item):
                    return
                mine.append(item)

        threads = [threading.Thread(target=send, args=(mine,)) for mine in accepted]
        for thread in threads:
            thread.start()
        barrier.wait()
        left = mailbox.close()
        for thread in threads:
            thread.join()
        assert len(left) == sum(map(len, accepted))


def test_an_interrupt_between_marking_and_waking_does_not_strand_the_consumer():
    woken = []

    def wake(mailbox):
        woken.append(mailbox)
        if len(woken) == 1:
            raise KeyboardInterrupt

    mailbox = Mailbox(wake)
    with pytest.raises(KeyboardInterrupt):
        mailbox.send(1)
    assert len(woken) == 2

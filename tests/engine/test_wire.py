"""The wire between two workers, without a socket."""

import random
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.engine.wire import FRAGMENT, Arrived, Granted, Receiver, Sender, WireError
from streamflow.operators.events import Barrier, End, Event, Watermark

SCHEMA = pa.schema([("n", pa.int64()), ("word", pa.string())])
SCHEMAS = {1: SCHEMA, 2: SCHEMA, 3: SCHEMA}
WINDOW = 4096


def rows(count: int, word: str = "x") -> pa.RecordBatch:
    return pa.record_batch({"n": np.arange(count), "word": [word] * count}, schema=SCHEMA)


def sent(sender: Sender) -> bytes:
    return b"".join(bytes(piece) for piece in sender.frames())


def items(event: Event) -> list[object]:
    """The rows of a batch, which may come in pieces, or the event itself."""
    return list(event.to_pylist()) if isinstance(event, pa.RecordBatch) else [event]


def events_of(found: Iterable[object], channel: int) -> list[Event]:
    return [one.event for one in found if isinstance(one, Arrived) and one.channel == channel]


EVENTS: list[Event] = [rows(3), Watermark(-5, idle=True), rows(1, "é" * 9), Barrier(7, final=True), Watermark(9), End()]


@pytest.mark.parametrize("cut", range(1, 40))
def test_events_arrive_as_they_were_sent_wherever_the_bytes_are_cut(cut: int) -> None:
    sender, receiver = Sender(SCHEMAS, 1 << 20), Receiver(SCHEMAS, 1 << 20)
    for event in EVENTS:
        sender.put(1, event)
    data = sent(sender)
    found = [one for at in range(0, len(data), cut) for one in receiver.feed(data[at : at + cut])]
    assert events_of(found, 1) == EVENTS


def test_a_large_batch_is_cut_and_others_have_their_turn_in_between() -> None:
    sender, receiver = Sender(SCHEMAS, 1 << 30), Receiver(SCHEMAS, 1 << 30)
    large = rows(200_000)
    sender.put(1, large)
    sender.put(2, Watermark(5))
    order = []
    for piece in sender.frames():
        assert len(piece) <= FRAGMENT
        order += [(one.channel, type(one).__name__) for one in receiver.feed(piece)]
    assert order == [(2, "Arrived"), (1, "Arrived")]


def test_rows_wait_for_credit_and_other_channels_do_not() -> None:
    sender, receiver = Sender(SCHEMAS, WINDOW), Receiver(SCHEMAS, WINDOW)
    for _ in range(20):
        sender.put(1, rows(50))
    sender.put(1, Watermark(5))
    sender.put(2, rows(1))
    sender.put(3, Barrier(1))
    found = receiver.feed(sent(sender))
    assert 0 < len(events_of(found, 1)) < 20
    assert Watermark(5) not in events_of(found, 1)  # it does not overtake the rows before it
    assert (events_of(found, 2), events_of(found, 3)) == ([rows(1)], [Barrier(1)])
    assert sender.queued(1) > 0
    assert sent(sender) == b""
    received = len(events_of(found, 1))
    while sender.queued(1):
        for one in found:
            assert isinstance(one, Arrived)
            if one.channel == 1:
                sender.granted(Granted(1, receiver.consumed(one), WINDOW))
        found = receiver.feed(sent(sender))
        received += len(events_of(found, 1))
    assert received == 21


def test_a_row_larger_than_the_limit_goes_alone() -> None:
    sender, receiver = Sender(SCHEMAS, WINDOW), Receiver(SCHEMAS, WINDOW)
    sender.put(1, rows(5))
    sender.put(1, rows(1, "x" * 9000))
    [first] = receiver.feed(sent(sender))
    assert isinstance(first, Arrived)
    assert sent(sender) == b""
    sender.granted(Granted(1, receiver.consumed(first), WINDOW))
    [second] = receiver.feed(sent(sender))
    assert isinstance(second, Arrived)
    assert second.event == rows(1, "x" * 9000)
    sender.put(1, rows(1))
    assert sent(sender) == b""


def test_a_batch_larger_than_the_limit_goes_in_pieces_of_about_the_limit() -> None:
    sender, receiver = Sender(SCHEMAS, WINDOW), Receiver(SCHEMAS, 1 << 20)
    sender.put(1, rows(5_000))
    pieces = []
    while sender.queued(1):
        [one] = receiver.feed(sent(sender))
        assert isinstance(one, Arrived)
        assert isinstance(one.event, pa.RecordBatch)
        pieces.append(one.event)
        sender.granted(Granted(1, receiver.consumed(one), WINDOW))
    assert pa.Table.from_batches(pieces) == pa.Table.from_batches([rows(5_000)])
    assert max(piece.nbytes for piece in pieces) < 2 * WINDOW


def test_the_receiver_says_how_much_may_be_under_way() -> None:
    sender, receiver = Sender(SCHEMAS, WINDOW), Receiver(SCHEMAS, 1 << 20)
    for _ in range(50):
        sender.put(1, rows(50))
    before = len(events_of(receiver.feed(sent(sender)), 1))
    sender.granted(Granted(1, 0, 4 * WINDOW))
    assert len(events_of(receiver.feed(sent(sender)), 1)) > 2 * before


def test_grants_travel_ahead_of_rows() -> None:
    sender, receiver = Sender(SCHEMAS, WINDOW), Receiver(SCHEMAS, WINDOW)
    sender.put(1, rows(2))
    sender.grant(9, 100, WINDOW)
    assert [type(one) for one in receiver.feed(sent(sender))] == [Granted, Arrived]


@pytest.mark.parametrize(("channel", "size"), [(1, 1), (9, 1)])
def test_a_grant_that_nobody_waits_for_is_refused(channel: int, size: int) -> None:
    with pytest.raises(WireError, match="which was not waited for"):
        Sender(SCHEMAS, WINDOW).granted(Granted(channel, size, WINDOW))


def test_who_sends_more_than_its_credit_is_refused() -> None:
    sender, receiver = Sender(SCHEMAS, 1 << 30), Receiver(SCHEMAS, WINDOW)
    for _ in range(3):
        sender.put(1, rows(100))
    with pytest.raises(WireError, match="channel 1 sends more than it may"):
        receiver.feed(sent(sender))


def test_an_event_in_the_middle_of_a_batch_is_refused() -> None:
    one, two = Sender(SCHEMAS, 1 << 30), Sender(SCHEMAS, 1 << 30)
    one.put(1, rows(100_000))
    two.put(1, End())
    pieces = [bytes(piece) for piece in one.frames()]
    with pytest.raises(WireError, match="in the middle of a batch"):
        Receiver(SCHEMAS, 1 << 30).feed(b"".join(pieces[:2]) + sent(two))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_frames_are_an_error_or_wait_for_more(data: bytes) -> None:
    try:
        found = Receiver(SCHEMAS, WINDOW).feed(data)
    except WireError:
        return
    assert all(isinstance(one, Arrived | Granted) for one in found)


@pytest.mark.parametrize("seed", range(200))
def test_a_bent_byte_is_an_error_or_a_sound_batch(seed: int) -> None:
    rng = random.Random(seed)
    sender = Sender(SCHEMAS, 1 << 20)
    for event in EVENTS:
        sender.put(1, event)
    data = bytearray(sent(sender))
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    try:
        found = Receiver(SCHEMAS, 1 << 20).feed(data)
    except WireError:
        return
    for event in events_of(found, 1):
        if isinstance(event, pa.RecordBatch):
            event.to_pylist()


@pytest.mark.parametrize("seed", range(50))
def test_every_event_arrives_once_and_in_its_channels_order(seed: int) -> None:
    """Two peers, random cuts, consumers that lag: credits never run out for good."""
    rng = random.Random(seed)
    sender, receiver = Sender(SCHEMAS, WINDOW), Receiver(SCHEMAS, WINDOW)
    put: dict[int, list[object]] = {channel: [] for channel in SCHEMAS}
    got: dict[int, list[object]] = {channel: [] for channel in SCHEMAS}
    waiting: list[Arrived] = []
    wire = bytearray()
    for number in range(150):
        channel = rng.choice(list(SCHEMAS))
        event: Event = rows(rng.choice([1, 30, 90, 400]), str(number)) if rng.random() < 0.7 else Watermark(number)
        put[channel] += items(event)
        sender.put(channel, event)
        wire += sent(sender)
        cut = rng.randrange(len(wire) + 1)
        waiting += [one for one in receiver.feed(wire[:cut]) if isinstance(one, Arrived)]
        del wire[:cut]
        while waiting and rng.random() < 0.5:
            one = waiting.pop(0)
            got[one.channel] += items(one.event)
            if size := receiver.consumed(one):
                sender.granted(Granted(one.channel, size, rng.randint(1000, WINDOW)))
    while any(sender.queued(channel) for channel in SCHEMAS) or wire or waiting:
        wire += sent(sender)
        waiting += [one for one in receiver.feed(wire) if isinstance(one, Arrived)]
        wire.clear()
        while waiting:
            one = waiting.pop(0)
            got[one.channel] += items(one.event)
            if size := receiver.consumed(one):
                sender.granted(Granted(one.channel, size, rng.randint(1000, WINDOW)))
    assert got == put

"""The wire between two workers: frames, fragments and credits, without a socket (rule 35).

All channels of a pair of workers, in both directions, share one connection. A batch travels as one Arrow IPC message,
cut into fragments, so that a large one does not keep other channels waiting; channels take turns. Of every channel
only so many bytes may be under way, or wait to be taken, at once: the receiver says how many, and tells the sender what
has been taken. So a channel whose reader is slow stops its own rows and nobody else's, and few are ahead of a barrier
(rule 34). Watermarks, barriers and ends need no credit, and never overtake rows of their channel.

A frame is a header (length of the body, kind, channel) and a body. Nothing in it is believed before it is checked: what
is no frame, and a message whose arrays are not sound, is a `WireError`, and the connection is to be closed.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

import pyarrow as pa

from streamflow.errors import StreamflowError
from streamflow.operators.events import Barrier, Batch, End, Event, Watermark

FRAGMENT = 256 * 1024
"""The most bytes of a frame's body."""
LARGEST = 1 << 30
"""The most bytes of a message."""
FIRST = 256 * 1024
"""The bytes of a channel that may be under way before the receiver has said how many."""

_HEADER = struct.Struct("<IBI")
_WATERMARK = struct.Struct("<qB")
_BARRIER = struct.Struct("<QB")
_CREDIT = struct.Struct("<II")
_PART, _LAST, _MARK, _LINE, _END, _GRANT = range(1, 7)
_SIZES = {_MARK: _WATERMARK.size, _LINE: _BARRIER.size, _END: 0, _GRANT: _CREDIT.size}

Bytes: TypeAlias = "bytes | bytearray | memoryview"


class WireError(StreamflowError):
    """What came is not what a worker of this version sends."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """An event of a channel. `size`: the credit it used, to be granted again once it is out of the queue."""

    channel: int
    event: Event
    size: int = 0


@dataclass(frozen=True, slots=True)
class Granted:
    """So many bytes more of a channel that we send on have been taken, and from now on `limit` may be under way."""

    channel: int
    size: int
    limit: int


@dataclass(slots=True)
class _Lane:
    """What waits to be sent on one channel. `rest`: of the message that is under way."""

    limit: int
    under_way: int = 0
    queue: deque[Event | memoryview] = field(default_factory=deque)
    rest: memoryview | None = None
    queued: int = 0


class Sender:
    """The way out of a connection. `channels`: those that it sends on; `limit`: what each begins with."""

    def __init__(self, channels: Iterable[int], limit: int = FIRST) -> None:
        self._lanes = {channel: _Lane(limit) for channel in channels}
        self._turns = deque(self._lanes)
        self._grants: deque[bytes] = deque()

    def put(self, channel: int, event: Event) -> None:
        """Send `event` behind all that was put on its channel before; a large batch in pieces of about the limit."""
        lane = self._lanes[channel]
        if not isinstance(event, pa.RecordBatch):
            lane.queue.append(event)
            return
        message = memoryview(event.serialize()).cast("B")
        pieces = min(-(-len(message) // lane.limit), event.num_rows)
        if pieces <= 1:
            lane.queue.append(message)
            lane.queued += len(message)
            return
        step = -(-event.num_rows // pieces)
        for start in range(0, event.num_rows, step):
            piece = memoryview(event.slice(start, step).serialize()).cast("B")
            lane.queue.append(piece)
            lane.queued += len(piece)

    def grant(self, channel: int, size: int, limit: int) -> None:
        """Tell the peer what was taken of a channel that we receive on, and how much may now be under way there."""
        self._grants.append(_frame(_GRANT, channel, _CREDIT.pack(size, limit)))

    def granted(self, grant: Granted) -> None:
        """The peer has told us so. WireError: for a channel that is not ours, or more than is under way."""
        lane = self._lanes.get(grant.channel)
        if lane is None or grant.size > lane.under_way or not grant.limit:
            raise WireError(f"a grant of {grant.size} bytes for channel {grant.channel}, which was not waited for")
        lane.under_way -= grant.size
        lane.limit = grant.limit

    def queued(self, channel: int) -> int:
        """Bytes of rows that wait to be sent: what a task looks at before it makes more."""
        return self._lanes[channel].queued

    def frames(self) -> Iterator[Bytes]:
        """All that may be sent now, as pieces to be written one after the other."""
        while self._grants:
            yield self._grants.popleft()
        idle = 0
        while idle < len(self._turns):
            channel = self._turns[0]
            self._turns.rotate(-1)
            sent = False
            for piece in self._next(channel, self._lanes[channel]):
                sent = True
                yield piece
            idle = 0 if sent else idle + 1

    def _next(self, channel: int, lane: _Lane) -> Iterator[Bytes]:
        """The channel's turn: one fragment, or the events without rows up to the next batch."""
        while lane.rest is None and lane.queue:
            head = lane.queue[0]
            if isinstance(head, memoryview):
                if lane.under_way and lane.under_way + len(head) > lane.limit:
                    return  # one that is larger than the limit goes alone, when nothing else is under way
                lane.under_way += len(head)
                lane.rest = head
            else:
                yield _of_event(channel, head)
            lane.queue.popleft()
        if lane.rest is not None:
            part, rest = lane.rest[:FRAGMENT], lane.rest[FRAGMENT:]
            lane.queued -= len(part)
            lane.rest = rest if len(rest) else None
            yield _HEADER.pack(len(part), _PART if len(rest) else _LAST, channel)
            yield part


class Receiver:
    """The way in of a connection. `channels`: those that it receives on, each with the schema of its batches.

    `most`: the bytes of a channel that may wait here, whatever its limit was when they were sent.
    """

    def __init__(self, channels: Mapping[int, pa.Schema], most: int) -> None:
        self._schemas = dict(channels)
        self._most = most
        self._used = dict.fromkeys(channels, 0)
        self._messages: dict[int, bytearray] = {}
        self._buffer = bytearray()

    def feed(self, data: Bytes) -> list[Arrived | Granted]:
        """Take in what was read from the connection, cut anywhere; what has come in whole. WireError: see above."""
        self._buffer += data
        found: list[Arrived | Granted] = []
        at = 0
        while len(self._buffer) - at >= _HEADER.size:
            length, kind, channel = _HEADER.unpack_from(self._buffer, at)
            self._check(length, kind, channel)
            end = at + _HEADER.size + length
            if len(self._buffer) < end:
                break
            with memoryview(self._buffer) as view, view[at + _HEADER.size : end] as body:
                arrived = self._of_frame(kind, channel, body)
            if arrived is not None:
                found.append(arrived)
            at = end
        del self._buffer[:at]
        return found

    def consumed(self, arrived: Arrived) -> int:
        """The event is out of the queue: the bytes to grant the peer for it."""
        self._used[arrived.channel] -= arrived.size
        return arrived.size

    def _check(self, length: int, kind: int, channel: int) -> None:
        if kind not in range(_PART, _GRANT + 1):
            raise WireError(f"a frame of kind {kind}, which is none")
        if (length != _SIZES[kind]) if kind in _SIZES else not 0 < length <= FRAGMENT:
            raise WireError(f"a frame of kind {kind} with {length} bytes")
        if kind != _GRANT and channel not in self._schemas:
            raise WireError(f"a frame for channel {channel}, which is none")

    def _of_frame(self, kind: int, channel: int, body: memoryview) -> Arrived | Granted | None:
        if kind in (_PART, _LAST):
            return self._of_fragment(channel, body, last=kind == _LAST)
        if kind == _GRANT:
            return Granted(channel, *_CREDIT.unpack(body))
        if channel in self._messages:
            raise WireError(f"an event in the middle of a batch of channel {channel}")
        if kind == _MARK:
            time, idle = _WATERMARK.unpack(body)
            return Arrived(channel, Watermark(time, bool(idle)))
        if kind == _LINE:
            checkpoint, final = _BARRIER.unpack(body)
            return Arrived(channel, Barrier(checkpoint, bool(final)))
        return Arrived(channel, End())

    def _of_fragment(self, channel: int, body: memoryview, *, last: bool) -> Arrived | None:
        message = self._messages.setdefault(channel, bytearray())
        message += body
        used = self._used[channel]
        if len(message) > LARGEST or (used and used + len(message) > self._most):
            raise WireError(f"channel {channel} sends more than it may")
        if not last:
            return None
        del self._messages[channel]
        self._used[channel] += len(message)
        return Arrived(channel, self._batch(channel, bytes(message)), len(message))

    def _batch(self, channel: int, message: bytes) -> Batch:
        try:
            batch = pa.ipc.read_record_batch(pa.py_buffer(message), self._schemas[channel])
            batch.validate(full=True)  # an offset that points outside would end the process later
        except (pa.ArrowException, OSError, ValueError) as error:
            raise WireError(f"a message of channel {channel} is no batch: {error}") from error
        return batch


def _of_event(channel: int, event: Event) -> bytes:
    match event:
        case Watermark(time, idle):
            return _frame(_MARK, channel, _WATERMARK.pack(time, idle))
        case Barrier(checkpoint, final):
            return _frame(_LINE, channel, _BARRIER.pack(checkpoint, final))
        case End():
            return _frame(_END, channel, b"")
        case pa.RecordBatch():
            raise AssertionError("batches are queued as messages")
        case other:
            assert_never(other)


def _frame(kind: int, channel: int, body: bytes) -> bytes:
    return _HEADER.pack(len(body), kind, channel) + body

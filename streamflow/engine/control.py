"""What a worker and its coordinator say to each other: data, and its form as JSON.

A worker takes its messages in order: what it is told of splits, barriers and ends has its place between them (rule 28).
Every message belongs to an attempt, which the connection knows; what comes from an earlier one is dropped there. What
is no message of this version is a `ControlError`, and the connection is to be closed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from streamflow.engine.parts import (
    Committables,
    Files,
    Splits,
    committables_from_json,
    committables_to_json,
    files_from_json,
    files_to_json,
    splits_from_json,
    splits_to_json,
)
from streamflow.errors import (
    ConnectorError,
    DataError,
    EngineError,
    Fatal,
    Location,
    Retryable,
    SchemaError,
    StepError,
    StreamflowError,
    TooManyErrors,
    UserError,
)
from streamflow.operators.events import Barrier

CONTROL_VERSION = 1


class ControlError(StreamflowError):
    """What came is not what a worker, or a coordinator, of this version says."""


# -- to a worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """Restore, connect to the others and run. The first message, once.

    `job`: its uuid. `splits`: this worker's, in the order in which they open; `known`: those of all workers. `state`:
    of the whole job; the worker takes its key groups. `complete`: the checkpoint that all this comes from, 0 where
    there is none. `peers`: where each worker waits for connections.
    """

    attempt: int
    job: str
    splits: Splits
    known: Splits
    state: Files
    complete: int
    peers: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A barrier for all reads of the worker."""

    barrier: Barrier


@dataclass(frozen=True, slots=True)
class Completed:
    """The checkpoint is in the log and its sinks have committed: its files may be named again (rule 30)."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The final checkpoint is committed: the reads end (rule 29)."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The reads end here, as if their splits had no more rows: the watermark goes to the end of time (rule 11)."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The answer to a `Report`: the worker's lease runs anew from when it sent that. Without one it exits (rule 36)."""


ToWorker: TypeAlias = "Deploy | Trigger | Completed | Finish | Drain | Renewed"


# -- from a worker


@dataclass(frozen=True, slots=True)
class Joined:
    """The worker runs, and has built the flow. `graph`: its fingerprint; `address`: where it waits for the others."""

    graph: str
    address: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """It has restored its state, opened its sinks and reads, and is connected to all others."""


@dataclass(frozen=True, slots=True)
class ReadEnded:
    """All of the worker's splits of one read have ended, and no more can appear."""

    read: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """All its tasks have aligned on the barrier, its state is durable and its sinks are prepared.

    `committables`: all that it has prepared and was not told is complete (rules 25, 26).
    """

    checkpoint: int
    state: Files
    splits: Splits
    committables: Committables = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declined:
    """It could not make its part of the checkpoint durable; it goes on, and what it prepared is part of the next."""

    checkpoint: int
    why: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All its tasks have ended."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot go on, and ends."""

    error: StreamflowError


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A sign of life, and what progress shows of the worker.

    `turns`: how often its loop has come round, also with nothing to do; one that stays the same hangs (rule 36).
    `where`: the step and the line that it is in, where that is known.
    Times are event time in microseconds, None where none is known.
    """

    turns: int
    where: str | None = None
    rows_in: int = 0
    rows_out: int = 0
    late: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    spilled: int = 0
    watermark: int | None = None
    greatest: int | None = None
    held_by: str | None = None
    waiting: Sequence[str] = ()


FromWorker: TypeAlias = "Joined | Deployed | ReadEnded | Acknowledged | Declined | Finished | Failed | Report"
Message: TypeAlias = "ToWorker | FromWorker"


# -- as JSON


def encode(message: Message) -> bytes:
    """The message as JSON; `decode` gives it back.

    >>> encode(Trigger(Barrier(3)))
    b'{"version":1,"kind":"Trigger","barrier":[3,false]}'
    >>> decode(encode(Completed(7)))
    Completed(checkpoint=7)
    """
    values = {of.name: _FORMS[str(of.type)].to_json(getattr(message, of.name)) for of in fields(message)}
    found = {"version": CONTROL_VERSION, "kind": type(message).__name__, **values}
    return json.dumps(found, separators=(",", ":")).encode()


def decode(data: bytes) -> Message:
    """The message in these bytes. `ControlError` where they hold none of this version."""
    try:
        found = json.loads(data)
        if found["version"] != CONTROL_VERSION:
            raise ControlError(
                f"a message of version {found['version']}, this streamflow speaks {CONTROL_VERSION}",
                remedy="use one version of streamflow for a job's coordinator and all its workers",
            )
        kind = _KINDS[found["kind"]]
        return kind(**{of.name: _FORMS[str(of.type)].from_json(found[of.name]) for of in fields(kind)})
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise ControlError(f"a message that is none: {error!r}") from error


@dataclass(frozen=True, slots=True)
class _Form:
    """How a field of one type stands in JSON. `from_json` raises what comes where it is no such value."""

    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]


def _plain(kind: type) -> _Form:
    return _Form(kind, lambda found: _checked(found, kind))


def _checked(found: Any, kind: type) -> Any:
    if type(found) is not kind:
        raise TypeError(f"{found!r} is no {kind.__name__}")
    return found


def _or_none(form: _Form) -> _Form:
    return _Form(
        lambda value: None if value is None else form.to_json(value),
        lambda found: None if found is None else form.from_json(found),
    )


def _error_to_json(error: StreamflowError) -> list[Any]:
    kind = next(kind.__name__ for kind in type(error).__mro__ if _ERRORS.get(kind.__name__) is kind)
    at = error.location
    return [kind, error.message, error.step, None if at is None else [at.file, at.line, at.source], error.remedy]


def _error_from_json(found: Sequence[Any]) -> StreamflowError:
    kind, message, step, at, remedy = found
    where = None if at is None else Location(str(at[0]), int(at[1]), str(at[2]))
    return _ERRORS[kind](str(message), step=step, location=where, remedy=remedy)


_ERRORS = {
    kind.__name__: kind
    for kind in (
        StreamflowError,
        UserError,
        SchemaError,
        StepError,
        DataError,
        TooManyErrors,
        ConnectorError,
        Retryable,
        Fatal,
        EngineError,
    )
}
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        Deploy,
        Trigger,
        Completed,
        Finish,
        Drain,
        Renewed,
        Joined,
        Deployed,
        ReadEnded,
        Acknowledged,
        Declined,
        Finished,
        Failed,
        Report,
    )
}
_INT, _STR = _plain(int), _plain(str)
_FORMS = {
    "int": _INT,
    "str": _STR,
    "int | None": _or_none(_INT),
    "str | None": _or_none(_STR),
    "Sequence[str]": _Form(list, lambda found: [_checked(one, str) for one in found]),
    "Mapping[str, int]": _Form(dict, lambda found: {str(name): _checked(n, int) for name, n in found.items()}),
    "Mapping[int, str]": _Form(
        lambda value: {str(number): text for number, text in value.items()},
        lambda found: {int(number): _checked(text, str) for number, text in found.items()},
    ),
    "Barrier": _Form(
        lambda barrier: [barrier.checkpoint, barrier.final],
        lambda found: Barrier(_checked(found[0], int), _checked(found[1], bool)),
    ),
    "Splits": _Form(splits_to_json, splits_from_json),
    "Files": _Form(files_to_json, files_from_json),
    "Committables": _Form(committables_to_json, committables_from_json),
    "StreamflowError": _Form(_error_to_json, _error_from_json),
}

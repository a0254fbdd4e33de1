"""What the master of a job is told, and what it wants done. Data only.

An attempt counts from 1, in the job's log; what comes from an earlier one is late and is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamflow.cluster.manifest import Manifest
from streamflow.engine.control import FromWorker, ToWorker
from streamflow.engine.parts import Committables, Splits
from streamflow.errors import StreamflowError

# -- instructions that touch the store or the outside: carried out one after the other, each answered by one event


@dataclass(frozen=True, slots=True)
class Claim:
    """Open the next attempt in the job's log; nothing is touched before (rule 21). Answer: `Claimed`."""


@dataclass(frozen=True, slots=True)
class Recover:
    """Commit again what the latest checkpoint prepared, then discard what else earlier attempts left (rules 23, 26).

    Answer: `Recovered`.
    """

    attempt: int


@dataclass(frozen=True, slots=True)
class Discover:
    """Ask the sources for their splits. Answer: `Discovered`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Save:
    """Write the manifest into the log: with that the checkpoint is complete. Answer: `Saved`."""

    attempt: int
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Commit:
    """Let the sinks publish what was prepared, in this order. Answer: `Committed`."""

    attempt: int
    checkpoint: int
    committables: Committables


@dataclass(frozen=True, slots=True)
class Confirm:
    """All that the latest checkpoint prepared is published: what was kept for it may go. Answer: `Confirmed`."""

    attempt: int
    checkpoint: int


@dataclass(frozen=True, slots=True)
class CopySavepoint:
    """Copy the latest checkpoint, which is confirmed, and its files into a folder of their own. Answer: `Copied`."""

    request: int
    checkpoint: int
    folder: str


Performed: TypeAlias = "Claim | Recover | Discover | Save | Commit | Confirm | CopySavepoint"

# -- instructions about workers, and to who asked


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the workers 0 to `workers` - 1 of an attempt; each says `Joined`."""

    attempt: int
    workers: int


@dataclass(frozen=True, slots=True)
class Send:
    """Give a worker this message, in order; nothing happens where it is gone."""

    attempt: int
    worker: int
    message: ToWorker


@dataclass(frozen=True, slots=True)
class KillAll:
    """End every worker of the attempt; when none is left that is `AllGone`."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked is done, or is refused or has failed with this error."""

    request: int
    error: StreamflowError | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a log should show."""

    text: str


How: TypeAlias = Literal["finished", "stopped", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class End:
    """The job is over, and no worker of it lives. `finished`: its reads had ended; `error` where it has failed."""

    how: How
    error: StreamflowError | None = None


Instruction: TypeAlias = "Performed | Launch | Send | KillAll | Answer | Note | End"

# -- events: what became of instructions


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The attempt is this coordinator's.

    `job`: its uuid. `base`: the checkpoint to go on from, its committables only if they may not be published; None for
    a fresh start. `first`: the number of the next checkpoint. `waits`: workers of another coordinator may be alive, as
    long as their lease lasts.
    """

    attempt: int
    job: str
    base: Manifest | None = None
    first: int = 1
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Recovered:
    attempt: int


@dataclass(frozen=True, slots=True)
class Discovered:
    """`splits`: all that there are now and all that the checkpoint knows, in the order in which they open."""

    attempt: int
    splits: Splits


@dataclass(frozen=True, slots=True)
class Saved:
    attempt: int
    checkpoint: int


@dataclass(frozen=True, slots=True)
class Committed:
    attempt: int
    checkpoint: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    attempt: int
    checkpoint: int


@dataclass(frozen=True, slots=True)
class Copied:
    request: int


@dataclass(frozen=True, slots=True)
class NotDone:
    """The instruction failed, and may or may not have had its effect."""

    what: Performed
    error: StreamflowError


# -- events: of workers, of time, and from outside


@dataclass(frozen=True, slots=True)
class Start:
    """The first event."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a worker said."""

    attempt: int
    worker: int
    message: FromWorker


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """A worker has ended, or its connection has. `why`: for the user."""

    attempt: int
    worker: int
    why: str


@dataclass(frozen=True, slots=True)
class AllGone:
    """No worker of the attempt lives."""

    attempt: int


@dataclass(frozen=True, slots=True)
class TakeSavepoint:
    """Take a checkpoint and copy it into `folder`."""

    folder: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End where the job stands, so that it can go on later; with a savepoint if a folder is given.

    `drain`: end as if the sources had no more rows, so that all windows fire; then nothing is left to go on with.
    """

    savepoint: str | None = None
    drain: bool = False


@dataclass(frozen=True, slots=True)
class Rescale:
    """Go on with so many workers."""

    workers: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """End at once; what the latest checkpoint does not hold is not published."""


Request: TypeAlias = "TakeSavepoint | Stop | Rescale | Cancel"


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants something of the job. `request`: a number that comes back in the `Answer`."""

    request: int
    what: Request


PerformerEvent: TypeAlias = "Claimed | Recovered | Discovered | Saved | Committed | Confirmed | Copied | NotDone"
JobEvent: TypeAlias = "PerformerEvent | Start | Tick | Heard | WorkerGone | AllGone | Asked"


def of_attempt(event: JobEvent) -> int | None:
    """The attempt that the event is of; None where it is of none.

    >>> of_attempt(NotDone(Recover(3), StreamflowError("no answer"))), of_attempt(Tick())
    (3, None)
    """
    found = event.what if isinstance(event, NotDone) else event
    return getattr(found, "attempt", None)

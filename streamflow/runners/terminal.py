"""A job's end as a person at a terminal sees it: a summary or an error, and the exit code."""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable

from streamflow.errors import EngineError, StreamflowError, UserError
from streamflow.runners.progress import count, not_processed, spilled
from streamflow.runners.result import JobResult

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


def report(job: Callable[[], JobResult]) -> int:
    """Run `job` as this process's only task, say on standard error how it went, and return the exit code."""
    prepare_process()
    try:
        result = job()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except StreamflowError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            # Who read our rows has gone, as `head` does. Python would complain again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        if isinstance(error, EngineError):
            traceback.print_exception(error)
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted at once; unpublished output is left in _staging", file=sys.stderr)
        return INTERRUPTED
    print(summary(result), file=sys.stderr)
    return INTERRUPTED if result.stopped else DONE


def prepare_process() -> None:
    """A process that runs a job has a calm garbage collector and shows what the flow logs (`peek`)."""
    # Row functions make objects by the million that reference counting frees at once. At the default threshold the
    # collector looks through all of them again and again, which cost stateful row functions a factor of 3.5. Of
    # the objects that stay, such as those of keys, it looks at 300,000 at once, which takes some 40 ms.
    gc.set_threshold(100_000, 2, 25_000)
    logger = logging.getLogger("streamflow")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def summary(result: JobResult) -> str:
    """What a finished job says."""
    rate = result.rows_in / max(result.seconds, 1e-6)
    text = (
        f"{result.name}: {count(result.rows_in)} rows in, {count(result.rows_out)} out, {count(result.late)} late"
        f"{not_processed(sum(result.skipped.values()), sum(result.dead.values()))}{spilled(result.spilled)}"
        f" in {result.seconds:.2f} s ({count(rate)} rows/s)"
    )
    if result.stopped:
        text += "; stopped, " + ("what was complete is published" if result.published else "nothing is published")
    return text

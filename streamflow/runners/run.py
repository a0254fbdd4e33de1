"""`sf.run` and `sf.main`: a flow as a job, of one worker in this process or of several in processes of their own."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from streamflow.connect.sink import ProcessSink
from streamflow.connect.units import parse_size
from streamflow.errors import UserError
from streamflow.flow.flow import Flow
from streamflow.flow.parameters import check_arguments, describe, parse_arguments
from streamflow.plan.fingerprint import fingerprint
from streamflow.plan.physical import DEFAULT_KEY_GROUPS, PhysicalGraph
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise
from streamflow.runners.checkpoints import Checkpoints, base_of
from streamflow.runners.local import run_graph
from streamflow.runners.result import JobResult
from streamflow.runners.spilling import SpillFiles, default_memory
from streamflow.runners.target import Target, target_of
from streamflow.runners.terminal import report
from streamflow.runners.upgrade import Upgrade

if TYPE_CHECKING:
    from streamflow.runners.sockets import Tcp

BuildFunction: TypeAlias = "Callable[..., Flow]"
Folder: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a job is to run, as `sf.run` takes it; None: not given."""

    workers: int | None = None
    checkpoint: Checkpoints | Folder | None = None
    restarts: int | None = None
    memory: str | int | None = None
    spill_dir: Folder | None = None
    network: Tcp | None = None

    def given(self) -> list[str]:
        return [name for name in self.__slots__ if getattr(self, name) is not None]


def run(
    flow: Flow | BuildFunction,
    /,
    *,
    workers: int | None = None,
    checkpoint: Checkpoints | Folder | None = None,
    restarts: int | None = None,
    memory: str | int | None = None,
    spill_dir: Folder | None = None,
    network: Tcp | None = None,
    **parameters: Any,
) -> JobResult:
    """Run a flow, or the flow that a build function gives for these parameters, to its end.

    Ctrl-C stops it cleanly: a bounded job publishes nothing, an unbounded one what it has so far. Raises UserError when
    the flow is wrong, StepError or DataError when a row cannot be processed, ConnectorError when the outside fails;
    then transactional sinks publish nothing. (Of several sinks, those committed before one that fails to commit stay.)

    `workers`: by default one, in this process. Several are processes of their own, between which rows move by key; each
    builds the flow anew, so that they need a build function that stands at the top level of a file, and gives an equal
    flow each time. `network`: how they connect, by default with Unix sockets.

    `checkpoint`: where the job keeps its checkpoints, a folder or `sf.Checkpoints`. Started again with it, after a
    stop, an error or a `kill -9`, also on another number of workers, the job goes on where it was, and file sinks
    publish each result exactly once; Ctrl-C then stops a bounded job with a checkpoint, too. Without it a job that is
    started again reads everything again. A job of several workers starts itself again when one is lost or a step fails,
    at most `restarts` times in a row (5) without a checkpoint in between.

    `memory`: about how much the rows of the job's state may take, as "2GB" or a number of bytes; by default half of the
    machine's memory, or of its container's limit. What is above it goes into files in the folder `spill_dir`, by
    default the system's folder for temporary files, and comes back when it is needed. The files carry no name: they
    are gone with the job, however it ends.

    >>> import pyarrow as pa, streamflow as sf
    >>> from streamflow_connectors import memory
    >>> out = memory.Sink()
    >>> flow = sf.Flow("large")
    >>> flow.read("n", memory.Source(pa.table({"n": [1, 20]}))).filter(sf.col("n") > 10).write("out", out)
    >>> sf.run(flow).rows_out
    1
    >>> out.table().to_pylist()
    [{'n': 20}]
    """
    options = Options(
        workers=workers,
        checkpoint=checkpoint,
        restarts=restarts,
        memory=memory,
        spill_dir=spill_dir,
        network=network,
    )
    known = [] if isinstance(flow, Flow) else [parameter.name for parameter in describe(flow)]
    for name in options.given():
        if name in known:
            raise UserError(
                f"both sf.run and {getattr(flow, '__name__', 'the function')} have a parameter {name}",
                remedy=f"call the function yourself, and give sf.run its flow: sf.run(build({name}=...), {name}=...)",
            )
    return run_flow(flow, parameters, options)


def main(
    build: BuildFunction,
    argv: Sequence[str] | None = None,
    *,
    workers: int | None = None,
    checkpoint: Checkpoints | Folder | None = None,
    restarts: int | None = None,
    memory: str | int | None = None,
    spill_dir: Folder | None = None,
    network: Tcp | None = None,
) -> None:
    """Run a script's flow with the arguments of its command line, and exit: what `if __name__ == "__main__"` calls.

    All others as those of `sf.run`.
    Exit codes: 0 done, 1 the job failed, 2 the flow or its arguments are wrong, 130 interrupted.
    """
    given = sys.argv[1:] if argv is None else argv
    options = Options(
        workers=workers,
        checkpoint=checkpoint,
        restarts=restarts,
        memory=memory,
        spill_dir=spill_dir,
        network=network,
    )
    sys.exit(report(lambda: run_flow(build, parse_arguments(build, given), options)))


def run_flow(flow: Flow | BuildFunction, parameters: Mapping[str, Any], options: Options) -> JobResult:
    """What `run` does, when it is clear what is an option and what a parameter of the function."""
    if isinstance(flow, Flow):
        if parameters:
            raise UserError("a finished Flow takes no parameters", remedy="give sf.run the build function")
        if options.workers not in (None, 1):
            raise UserError(
                "a finished Flow cannot be run on several workers: each builds it anew",
                remedy=f"give sf.run the build function: sf.run(build, workers={options.workers})",
            )
        return run_built(flow, None, options)
    several = options.workers is not None and options.workers > 1
    target = target_of(flow, parameters) if several else None
    built = flow(**check_arguments(flow, parameters))
    if not isinstance(built, Flow):
        raise UserError(f"{flow.__name__} returned a {type(built).__name__}, not a Flow", remedy="return the flow")
    return run_built(built, target, options)


def run_built(flow: Flow, target: Target | None, options: Options) -> JobResult:
    """Run a finished flow. `target`: how others build it, where there are several workers."""
    workers = 1 if options.workers is None else options.workers
    memory = default_memory() if options.memory is None else parse_size(options.memory)
    checkpoint = options.checkpoint
    if checkpoint is not None and not isinstance(checkpoint, Checkpoints):
        checkpoint = Checkpoints(checkpoint)
    base = None if checkpoint is None else base_of(checkpoint, flow.name)
    groups = DEFAULT_KEY_GROUPS if base is None else base.key_groups
    if not 1 <= workers <= groups:
        raise UserError(f"workers={workers}: a job has 1 to {groups}")
    writes = flow.graph()
    graph = place(optimise(writes), name=flow.name, workers=workers, key_groups=groups, max_errors=flow.max_errors)
    if checkpoint is not None and base is not None:
        upgrade = Upgrade.of(base, graph)
        upgrade.check(allow_dropped=checkpoint.allow_dropped_state)
        if told := upgrade.report():
            logging.getLogger("streamflow").info(told)
    if target is not None:
        text = fingerprint(writes, name=flow.name, max_errors=flow.max_errors)
        return _run_workers(graph, target, text, checkpoint, memory, options)
    for name in ("restarts", "network"):
        if getattr(options, name) is not None:
            raise UserError(f"{name}= is for a job on several workers", remedy="give workers=2, or more")
    return run_graph(graph, memory, SpillFiles(options.spill_dir), checkpoint)


def _run_workers(
    graph: PhysicalGraph, target: Target, text: str, checkpoint: Checkpoints | None, memory: int, options: Options
) -> JobResult:
    for number, work in graph.sinks().items():
        if isinstance(work.sink, ProcessSink) and work.sink.in_process:
            raise UserError(
                f"{work.sink!r} keeps its rows in the process that writes them, where nobody sees them",
                step=graph.nodes[number].step,
                location=graph.nodes[number].location,
                remedy="write to files, or run it on one worker",
            )
    from streamflow.runners.processes import run_workers

    return run_workers(
        graph,
        target,
        text,
        checkpoint=checkpoint,
        restarts=options.restarts,
        memory=memory,
        spill_dir=options.spill_dir,
        network=options.network,
    )

"""Does a pipeline give the same results however its rows arrive, on however many workers, through whatever crashes?

A trial is one run under a seed, which decides the sizes of batches, the interleaving, when checkpoints are taken and
where the job dies, how much memory there is and on how many workers it goes on. Every trial must give what a calm run
gives: one worker, no crash. What a function of the user's remembers on the side, draws at random or reads off the
clock, and what depends on the order in which rows arrive, shows as a difference. The first trial that fails is made
smaller and told as one line, which repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import StreamflowError, UserError
from streamflow.flow.flow import Flow
from streamflow.operators.events import CHANGE, CHANGE_NAMES
from streamflow.plan.logical.nodes import Changes, Node, Read, Write, inputs
from streamflow.plan.rewrite import topological
from streamflow.testing.compare import assert_rows, final
from streamflow.testing.harness import Results, run
from streamflow.testing.recording import record
from streamflow.testing.rows import Splits

_TEXT = re.compile(r"(\d+):(\d+):(\d+):(\d+)")
_SHRINKING_RUNS = 60

Build: TypeAlias = "Callable[[], Flow]"


@dataclass(frozen=True, slots=True)
class Trial:
    """A run to be repeated: as text, `seed:workers:crashes:rows`. `rows`: of each split, the first so many.

    >>> Trial.parse("17:3:2:125")
    Trial(seed=17, workers=3, crashes=2, rows=125)
    >>> str(Trial(17, 3, 2, 125))
    '17:3:2:125'
    """

    seed: int
    workers: int
    crashes: int
    rows: int

    def __str__(self) -> str:
        return f"{self.seed}:{self.workers}:{self.crashes}:{self.rows}"

    @classmethod
    def parse(cls, text: str) -> Trial:
        """Raises UserError where the text is no trial."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise UserError(f"{text!r} is no trial", remedy="write SEED:WORKERS:CRASHES:ROWS, as a failure prints it")
        return cls(*map(int, found.groups()))


class Disproved(AssertionError):
    """A trial gave other results than the calm run. `trial`: the smallest that was found."""

    def __init__(self, trial: Trial, difference: str) -> None:
        super().__init__(
            f"the results depend on how rows arrive, on workers or on crashes\n{difference}\ntrial: {trial}"
        )
        self.trial = trial
        self.difference = difference


@dataclass(frozen=True, slots=True)
class Proof:
    """So many `trials` were run, over `rows` rows of each split; in `late` of them rows came too late to compare."""

    trials: int
    late: int
    rows: int


def prove(
    build: Build,
    rows: Mapping[str, Any] | None = None,
    *,
    seeds: int | Iterable[int] = 100,
    workers: int = 4,
    crashes: int = 3,
    record_rows: int = 1000,
    replay: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Proof:
    """Run a flow under many seeds; raise Disproved, with the smallest trial found, where results differ.

    `rows`: by the read's name, rows in its place (see `sf.testing.run`); of reads that are not named the first
    `record_rows` rows are read once and used in all trials. `workers`, `crashes`: at most so many. `replay`: this one
    trial, as a failure printed it, and as it is. `progress` is called with the number of trials done.

    Where rows come too late for their windows, which they are may depend on how they arrive (rule 6): the results of
    such a trial are not compared, and it is counted as late. A sink of changes is compared by what they leave.

    >>> import pyarrow as pa, streamflow as sf
    >>> from streamflow_connectors import memory
    >>> seen = []
    >>> def first_three(n: int) -> bool:
    ...     seen.append(n)
    ...     return len(seen) <= 3
    >>> def build() -> sf.Flow:
    ...     flow = sf.Flow("some")
    ...     flow.read("n", memory.Source(pa.table({"n": range(9)}))).filter(first_three).write("out", memory.Sink())
    ...     return flow
    >>> sf.testing.prove(build, seeds=5)
    Traceback (most recent call last):
    ...
    streamflow.testing.proving.Disproved: the results depend on how rows arrive, on workers or on crashes
    ...
    """
    given = _given(build(), rows or {}, record_rows)
    most = max((_length(part) for splits in given.values() for part in splits.parts), default=0)
    if replay is not None:
        trial = Trial.parse(replay)
        difference, late = _try(build, given, trial)
        if difference is not None:
            raise Disproved(trial, difference)
        return Proof(1, int(late), trial.rows)
    calm = _calm(build, given, most)
    late_ones = done = 0
    for trial in _trials(range(seeds) if isinstance(seeds, int) else seeds, workers, crashes, most):
        difference, late = _compared(build, given, trial, calm)
        if difference is not None:
            raise Disproved(*_smaller(build, given, trial, difference))
        late_ones += late
        done += 1
        if progress is not None:
            progress(done)
    return Proof(done, late_ones, most)


def _trials(seeds: Iterable[int], workers: int, crashes: int, rows: int) -> Iterator[Trial]:
    """Small and large jobs in turn, so that few seeds already cover much."""
    for seed in seeds:
        yield Trial(seed, 1 + seed % workers, (seed // workers) % (crashes + 1), rows)


def _given(flow: Flow, rows: Mapping[str, Any], most: int) -> dict[str, Splits]:
    found: dict[str, Splits] = {}
    for node in topological(flow.graph()):
        if isinstance(node, Read) and node.name is not None:
            if node.name in rows:
                one = rows[node.name]
                found[node.name] = one if isinstance(one, Splits) else Splits((one,))
            else:
                found[node.name] = record(node.source, node.type.schema, most)
    if unknown := sorted(set(rows) - set(found)):
        raise UserError(f"the flow has no read named {unknown[0]!r}", remedy=f"its reads are {sorted(found)}")
    return found


def _length(part: Any) -> int:
    return part.num_rows if isinstance(part, pa.Table) else len(part)


def _cut(given: Mapping[str, Splits], rows: int) -> dict[str, Splits]:
    def first(part: Any) -> Any:
        return part.slice(0, rows) if isinstance(part, pa.Table) else part[:rows]

    return {name: Splits(tuple(map(first, splits.parts))) for name, splits in given.items()}


def _calm(build: Build, given: Mapping[str, Splits], rows: int) -> Results:
    return run(build(), _cut(given, rows), seed=0, workers=1, crashes=0)


def _try(build: Build, given: Mapping[str, Splits], trial: Trial) -> tuple[str | None, bool]:
    return _compared(build, given, trial, _calm(build, given, trial.rows))


def _compared(build: Build, given: Mapping[str, Splits], trial: Trial, calm: Results) -> tuple[str | None, bool]:
    """What is different, None where nothing is; and whether rows were late."""
    flow = build()
    try:
        found = run(flow, _cut(given, trial.rows), seed=trial.seed, workers=trial.workers, crashes=trial.crashes)
    except StreamflowError as error:
        return f"the calm run succeeds; this one fails: {error}", False
    late = bool(calm.late or found.late)
    if not late:
        for write in flow.graph():
            assert write.name is not None
            try:
                _same(found[write.name], calm[write.name], shown=_shows_changes(write))
            except AssertionError as error:
                return f"sink {write.name!r}: {error}", False
    if (found.skipped, found.dead) != (calm.skipped, calm.dead):
        return f"rows that failed: {found.skipped} {found.dead}, in the calm run {calm.skipped} {calm.dead}", late
    return None, late


def _same(found: pa.Table, calm: pa.Table, *, shown: bool) -> None:
    if shown:
        found, calm = _hidden(found), _hidden(calm)
    if CHANGE in found.column_names:
        found, calm = final(found), final(calm)
    assert_rows(found, calm.to_pylist())


def _hidden(table: pa.Table) -> pa.Table:
    """A table with the words of `.changes()`, as the changelog that it was."""
    numbers = pc.index_in(table["change"], value_set=pa.array(CHANGE_NAMES)).cast(pa.int8())
    return table.drop_columns(["change"]).append_column(CHANGE, numbers)


def _shows_changes(write: Write) -> bool:
    """Whether the sink's rows are those of `.changes()`, with the column that tells them."""

    def above(node: Node) -> bool:
        return isinstance(node, Changes) or any(map(above, inputs(node)))

    return "change" in write.input.type.schema.names and above(write.input)


def _smaller(build: Build, given: Mapping[str, Splits], trial: Trial, difference: str) -> tuple[Trial, str]:
    """The smallest trial that still fails, among those that are tried: fewer crashes, workers, rows."""
    left = _SHRINKING_RUNS

    def fails(candidate: Trial) -> str | None:
        nonlocal left
        left -= 1
        try:
            return _try(build, given, candidate)[0]
        except StreamflowError:  # with fewer rows even the calm run may fail
            return None

    def descend(make: Callable[[int], Trial], smallest: int, value: int) -> None:
        """Go down in ever smaller steps: failing need not depend on the number alone."""
        nonlocal trial, difference
        step = max(1, (value - smallest) // 2)
        while left > 0 and value > smallest:
            candidate = max(smallest, value - step)
            found = fails(make(candidate))
            if found is not None:
                trial, difference, value = make(candidate), found, candidate
                step = max(1, min(step, (value - smallest) // 2))
            elif step == 1:
                return
            else:
                step //= 2

    descend(lambda crashes: replace(trial, crashes=crashes), 0, trial.crashes)
    descend(lambda workers: replace(trial, workers=workers), 1, trial.workers)
    descend(lambda rows: replace(trial, rows=rows), 1, trial.rows)
    return trial, difference

"""The flow: where a pipeline starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from streamflow.errors import UserError
from streamflow.flow import instead
from streamflow.flow.calls import explains_calls
from streamflow.flow.columns import check_names, event_time_checked, watermark_or_default
from streamflow.flow.expr import ColumnLike, no_such_method, to_node
from streamflow.flow.guards import an_object, error_policy, row_count, text
from streamflow.flow.ledger import Ledger
from streamflow.flow.location import Building
from streamflow.flow.stream import Stream
from streamflow.plan.logical.contract import DEAD_LETTERS, Source, canonical_schema
from streamflow.plan.logical.names import named
from streamflow.plan.logical.nodes import DeadLetters, Read, StreamType, Write
from streamflow.plan.logical.policy import OnError, with_policies
from streamflow.plan.logical.windows import WatermarkStrategy


@explains_calls
class Flow:
    """A pipeline that is being written: reads, and what hangs from them.

    A flow is built by a function, once in every process, and must come out the same each time: no clock, no random
    numbers, no connection in that function.

    `on_error`: what a step does with a row that it cannot process, unless it says otherwise itself: "fail" stops the
    job, "skip" counts the row and goes on without it, "dead_letter" sends it to `dead_letters()` too. `max_errors`: the
    job stops once more rows than these were skipped or sent there.

    >>> import pyarrow as pa, streamflow as sf
    >>> from streamflow_connectors import memory
    >>> flow = sf.Flow("large-bids")
    >>> bids = flow.read("bids", memory.Source(pa.table({"price": [1, 200]})))
    >>> bids.filter(sf.col("price") > 100).write("out", memory.Sink())
    >>> [write.name for write in flow.graph()]
    ['out']
    """

    def __init__(self, name: str, *, on_error: OnError = "fail", max_errors: int | None = None) -> None:
        with Building("Flow"):
            self.name = text("a flow's name", name, 'sf.Flow("hot-items")')
            self._on_error: OnError = error_policy(on_error)
            self.max_errors = None if max_errors is None else row_count("max_errors", max_errors)
        self._ledger = Ledger(name)
        self._dead_letters: DeadLetters | None = None

    def __repr__(self) -> str:
        return f"Flow({self.name!r})"

    def read(
        self,
        name: str,
        source: Source,
        *,
        event_time: ColumnLike | None = None,
        watermark: WatermarkStrategy | None = None,
        on_error: OnError | None = None,
    ) -> Stream:
        """The rows of a source, under a name of its own.

        `event_time`: a timestamp column or an expression; it becomes the rows' event time and stays through every
        step, whatever happens to the column. `watermark` says how far out of order a split's rows are; without one,
        not at all (`bounded_out_of_orderness("0s")`): rows older than one before them in their split may be late. Where
        that is not what is known of them: `watermark_from`, `watermark_by`.
        `on_error`: what happens to a record that cannot be decoded, or has no event time, see `Flow`.

        Raises UserError or SchemaError: the name is taken, the column is missing or is no timestamp.

        >>> import pyarrow as pa, streamflow as sf
        >>> from streamflow_connectors import memory
        >>> rides = memory.Source(pa.table({"at": pa.array([0], pa.timestamp("ms")), "fare": [7.5]}))
        >>> flow = sf.Flow("rides")
        >>> flow.read("rides", rides, event_time="at", watermark=sf.bounded_out_of_orderness("5s")).schema
        at: timestamp[us, tz=UTC]
        fare: double
        """
        with Building(name) as location:
            if not isinstance(source, Source):
                raise UserError(
                    f"{source!r} is not a source", remedy='give an object such as parquet.Source("bids/*.parquet")'
                )
            an_object(source)
            schema = canonical_schema(source.schema())
            check_names(schema.names)
            kind = StreamType(schema)
            expr = None if event_time is None else to_node(event_time)
            if expr is not None:
                event_time_checked(expr, kind)
                kind = StreamType(schema, event_time=True)
                watermark = watermark_or_default(watermark, StreamType(schema))
            elif watermark is not None:
                raise UserError(
                    "watermark= without event_time=", remedy='say which column is the time: event_time="date_time"'
                )
            self._ledger.name(name, location)
            node = Read(
                type=kind,
                location=location,
                name=name,
                on_error=None if on_error is None else error_policy(on_error),
                source=source,
                event_time=expr,
                watermark=watermark,
            )
            return Stream(self._ledger, node, name, location)

    def dead_letters(self) -> Stream:
        """The rows that steps with the policy "dead_letter" could not process, of all steps, without event time.

        `step`: the step's name; `error`: what was wrong; `position`: the split, and the place in it where it is known;
        `payload`: the bytes of a record that could not be decoded, else the row as JSON.

        >>> import pyarrow as pa, streamflow as sf
        >>> from streamflow_connectors import memory
        >>> def half(n: int) -> int:
        ...     return n // (n % 2)
        >>> dead = memory.Sink()
        >>> flow = sf.Flow("halves", on_error="dead_letter")
        >>> flow.read("n", memory.Source(pa.table({"n": [3, 4]}))).with_columns(half=half).write("out", memory.Sink())
        >>> flow.dead_letters().select("step", "payload").write("dead", dead)
        >>> sf.run(flow).dead
        {'after n': 1}
        >>> dead.table().to_pylist()
        [{'step': 'after n', 'payload': b'{"n":4}'}]
        """
        with Building("dead_letters") as location:
            if self._dead_letters is None:
                self._ledger.name("dead_letters", location)
                self._dead_letters = DeadLetters(type=StreamType(DEAD_LETTERS), location=location, name="dead_letters")
            return Stream(self._ledger, self._dead_letters, "dead_letters", location)

    def graph(self) -> tuple[Write, ...]:
        """The finished logical graph: its sinks, from which everything hangs. Every step that keeps state has a name.

        Raises UserError: a stream that no sink reads, no sink at all, two steps with one name, dead letters that nobody
        reads.

        >>> import streamflow as sf
        >>> sf.Flow("empty").graph()
        Traceback (most recent call last):
        ...
        streamflow.errors.UserError: the flow 'empty' has no sink
          remedy: end a stream with .write("out", sink)
        """
        self._ledger.check_complete()
        return with_policies(named(tuple(self._ledger.writes)), self._on_error)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method("a flow", Flow, name, instead.FLOW)

"""The flow: where a pipeline starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from streamflow.errors import UserError
from streamflow.flow import instead
from streamflow.flow.calls import explains_calls
from streamflow.flow.columns import check_names, event_time_checked, watermark_or_default
from streamflow.flow.expr import ColumnLike, no_such_method, to_node
from streamflow.flow.guards import an_object, text
from streamflow.flow.ledger import Ledger
from streamflow.flow.location import Building
from streamflow.flow.stream import Stream
from streamflow.plan.logical.contract import Source, canonical_schema
from streamflow.plan.logical.names import named
from streamflow.plan.logical.nodes import Read, StreamType, Write
from streamflow.plan.logical.windows import BoundedOutOfOrderness


@explains_calls
class Flow:
    """A pipeline that is being written: reads, and what hangs from them.

    A flow is built by a function, once in every process, and must come out the same each time: no clock, no random
    numbers, no connection in that function.

    >>> import pyarrow as pa, streamflow as sf
    >>> from streamflow_connectors import memory
    >>> flow = sf.Flow("large-bids")
    >>> bids = flow.read("bids", memory.Source(pa.table({"price": [1, 200]})))
    >>> bids.filter(sf.col("price") > 100).write("out", memory.Sink())
    >>> [write.name for write in flow.graph()]
    ['out']
    """

    def __init__(self, name: str) -> None:
        with Building("Flow"):
            self.name = text("a flow's name", name, 'sf.Flow("hot-items")')
        self._ledger = Ledger(name)

    def __repr__(self) -> str:
        return f"Flow({self.name!r})"

    def read(
        self,
        name: str,
        source: Source,
        *,
        event_time: ColumnLike | None = None,
        watermark: BoundedOutOfOrderness | None = None,
    ) -> Stream:
        """The rows of a source, under a name of its own.

        `event_time`: a timestamp column or an expression; it becomes the rows' event time and stays through every
        step, whatever happens to the column. `watermark` says how far out of order a split's rows are; without one,
        not at all (`bounded_out_of_orderness("0s")`): rows older than one before them in their split may be late.

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
                watermark = watermark_or_default(watermark)
            elif watermark is not None:
                raise UserError(
                    "watermark= without event_time=", remedy='say which column is the time: event_time="date_time"'
                )
            self._ledger.name(name, location)
            node = Read(type=kind, location=location, name=name, source=source, event_time=expr, watermark=watermark)
            return Stream(self._ledger, node, name, location)

    def graph(self) -> tuple[Write, ...]:
        """The finished logical graph: its sinks, from which everything hangs. Every step that keeps state has a name.

        Raises UserError: a stream that no sink reads, no sink at all, two steps with one name.

        >>> import streamflow as sf
        >>> sf.Flow("empty").graph()
        Traceback (most recent call last):
        ...
        streamflow.errors.UserError: the flow 'empty' has no sink
          remedy: end a stream with .write("out", sink)
        """
        self._ledger.check_complete()
        return named(tuple(self._ledger.writes))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method("a flow", Flow, name, instead.FLOW)

"""Streams: what a step's rows can be made into. Every method gives a new stream and leaves this one as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Literal, NoReturn, ParamSpec, TypeVar

import pyarrow as pa

from streamflow.errors import Location, SchemaError, UserError
from streamflow.flow import columns as checked
from streamflow.flow import instead
from streamflow.flow.arguments import named_columns
from streamflow.flow.batch_form import batch_form
from streamflow.flow.calls import explains_calls
from streamflow.flow.expr import ColumnLike, Expr, no_such_method, to_node
from streamflow.flow.grouped import KeyedStream, WindowedStream, aggregate, windowed
from streamflow.flow.guards import an_object, error_policy, old_and_new, row_count, text
from streamflow.flow.ledger import Ledger
from streamflow.flow.location import Building, users_line
from streamflow.flow.records import record_fields, row_function
from streamflow.flow.windows import Duration
from streamflow.plan.logical import expr as terms
from streamflow.plan.logical.contract import Sink
from streamflow.plan.logical.expr import Column
from streamflow.plan.logical.nodes import (
    Aggregate,
    Changes,
    Explode,
    Filter,
    FlatMap,
    Late,
    MapBatches,
    MapRows,
    Named,
    Node,
    Peek,
    Project,
    StreamType,
    Top,
    Union,
    WithEventTime,
    Write,
)
from streamflow.plan.logical.policy import OnError
from streamflow.plan.logical.rows import Record, record_schema
from streamflow.plan.logical.windows import Assigner, Trigger, WatermarkStrategy, Window

P = ParamSpec("P")
T = TypeVar("T")


@explains_calls
class Stream:
    """Rows with named, typed columns; with or without event time; append-only or a changelog.

    In the examples `rides` is a stream with event time:

    >>> rides.schema
    at: timestamp[us, tz=UTC]
    city: string
    fare: double
    tags: list<item: string>
      child 0, item: string
    """

    def __init__(self, ledger: Ledger, node: Node, operation: str, location: Location | None) -> None:
        """Streams are made by `Flow.read` and by the methods of streams."""
        self._ledger = ledger
        self._node = node
        self._operation = operation
        self._end = ledger.open(operation, location)

    def __repr__(self) -> str:
        fields = ", ".join(f"{field.name}: {field.type}" for field in self.schema)
        return f"<{self._operation} of flow {self._ledger.flow!r}: {fields}>"

    @property
    def schema(self) -> pa.Schema:
        """The columns, in order.

        >>> rides.schema
        at: timestamp[us, tz=UTC]
        city: string
        fare: double
        tags: list<item: string>
          child 0, item: string
        """
        return self._node.type.schema

    # Row by row

    def filter(self, *conditions: ColumnLike) -> Stream:
        """The rows for which every condition is true; not those for which one is null.

        >>> rides.filter(col("fare") > 10, col("city") == "Oslo").schema.names
        ['at', 'city', 'fare', 'tags']
        """
        with Building("filter") as at:
            if not conditions:
                raise UserError("filter() has no condition", remedy="filter(col('price') > 100)")
            nodes = [to_node(condition) for condition in conditions]
            for node in nodes:
                checked.check_condition(node, self._node.type)
            both = nodes[0]
            for node in nodes[1:]:
                both = terms.Call("and", (both, node))
            return self._next(Filter(type=self._node.type, location=at, input=self._node, predicate=both), "filter")

    def select(self, *columns: ColumnLike, **named: ColumnLike) -> Stream:
        """Just these columns, in this order.

        >>> rides.select("city", (col("fare") * 0.9).alias("net"), cents=(col("fare") * 100).cast(int)).schema
        city: string
        net: double
        cents: int64
        """
        with Building("select") as at:
            made = named_columns(columns, named)
            if not made:
                raise UserError("select() has no column", remedy='select("price", total=col("price") * 2)')
            return self._project(made, "select", at)

    def with_columns(self, *columns: ColumnLike, **named: ColumnLike) -> Stream:
        """All columns and these: one that has the name of another takes its place, new ones follow.

        A row function that gives a record adds the record's fields.

        >>> from typing import NamedTuple
        >>> class Place(NamedTuple):
        ...     country: str
        ...     zone: int
        >>> def place(city: str) -> Place:
        ...     return Place("no", len(city))
        >>> rides.with_columns(place, net=col("fare") * 0.9).schema.names
        ['at', 'city', 'fare', 'tags', 'country', 'zone', 'net']
        """
        with Building("with_columns") as at:
            made = named_columns(columns, named)
            if not made:
                raise UserError("with_columns() has no column", remedy='with_columns(total=col("price") * 2)')
            rows, made = self._with_records(made, len(columns), at)
            return rows._project(_merged(self.schema, made), "with_columns", at)

    def drop(self, *columns: str) -> Stream:
        """All columns but these.

        >>> rides.drop("tags", "fare").schema.names
        ['at', 'city']
        """
        with Building("drop") as at:
            schema = self._node.type.schema
            for name in columns:
                _existing(name, schema)
            kept = [Named(name, Column(name)) for name in schema.names if name not in columns]
            if not columns or not kept:
                raise UserError(f"drop() of {'every column' if columns else 'no column'}", remedy='drop("price")')
            return self._project(kept, "drop", at)

    def rename(self, names: Mapping[str, str]) -> Stream:
        """Columns under other names, at their places.

        >>> rides.rename({"at": "started"}).schema.names
        ['started', 'city', 'fare', 'tags']
        """
        with Building("rename") as at:
            schema = self._node.type.schema
            for name in old_and_new(names):
                _existing(name, schema)
            return self._project([Named(names.get(name, name), Column(name)) for name in schema.names], "rename", at)

    def unnest(self, *columns: str) -> Stream:
        """The fields of records as columns, in the place of each record; null where it is null.

        >>> rides.with_columns(place=sf.struct("city", zone=1)).drop("city").unnest("place").schema.names
        ['at', 'fare', 'tags', 'city', 'zone']
        """
        with Building("unnest") as at:
            schema = self._node.type.schema
            for name in columns:
                type_ = schema.field(_existing(name, schema)).type
                if not pa.types.is_struct(type_):
                    raise SchemaError(f"{name!r} is {type_}, not a record", remedy="lists become rows: .explode(...)")
            if not columns:
                raise UserError("unnest() of no column", remedy='unnest("place")')
            made: list[Named] = []
            for field in schema:
                if field.name in columns:
                    made += [Named(inner.name, _field_of(field.name, inner.name)) for inner in field.type]
                else:
                    made.append(Named(field.name, Column(field.name)))
            return self._project(made, "unnest", at)

    def map(self, function: Callable[..., Any]) -> Stream:
        """Each row replaced by the record that the function returns: a dataclass, NamedTuple or TypedDict.

        The function's parameters are columns by name. Rows keep their event time.

        >>> from typing import NamedTuple
        >>> class Receipt(NamedTuple):
        ...     city: str
        ...     total: float
        >>> def receipt(city: str, fare: float) -> Receipt:
        ...     return Receipt(city.title(), fare * 1.25)
        >>> rides.map(receipt).schema
        city: string
        total: double
        """
        with Building("map") as at:
            made = row_function(function)
            kind = self._of_records(made, "map")
            return self._next(MapRows(type=kind, location=at, input=self._node, function=made), "map")

    def flat_map(self, function: Callable[..., Any]) -> Stream:
        """Each row replaced by any number of records, which the function returns as a list or yields.

        >>> from collections.abc import Iterator
        >>> from typing import TypedDict
        >>> class Tag(TypedDict):
        ...     tag: str
        >>> def split(city: str, tags: list[str]) -> Iterator[Tag]:
        ...     yield from ({"tag": f"{city}/{tag}"} for tag in tags)
        >>> rides.flat_map(split).schema
        tag: string
        """
        with Building("flat_map") as at:
            made = row_function(function, many=True)
            kind = self._of_records(made, "flat_map")
            return self._next(FlatMap(type=kind, location=at, input=self._node, function=made), "flat_map")

    def explode(self, column: str) -> Stream:
        """A row per element of the list in this column, which takes the list's place.

        >>> rides.explode("tags").schema.field("tags").type
        DataType(string)
        """
        with Building("explode") as at:
            kind = self._node.type
            checked.require_append_only(kind, "explode")
            index = _existing(column, kind.schema)
            type_ = kind.schema.field(index).type
            if not pa.types.is_list(type_):
                raise SchemaError(
                    f"{column!r} is {type_}, not a list", remedy="make a list of it, as .str.split(...) does"
                )
            schema = kind.schema.set(index, pa.field(column, type_.value_type))
            node = Explode(type=replace(kind, schema=schema), location=at, input=self._node, column=column)
            return self._next(node, "explode")

    def map_batches(
        self,
        function: Callable[[Any], Any],
        *,
        schema: pa.Schema | type | None = None,
        max_rows: int | None = None,
    ) -> Stream:
        """Each batch replaced by what the function makes of it. Where batches begin and end means nothing.

        The function sees `_time` where rows have event time. What it returns has the columns of `schema` (None: as
        before) and, unless it has as many rows as it was given, `_time`. `max_rows`: no batch is larger.

        It gets what the annotation of its parameter names: a `pa.RecordBatch` (also without one), a `pl.DataFrame`, a
        `pd.DataFrame`, or a `dict[str, np.ndarray]`, and returns any of these. In pandas, and in numpy's arrays of
        whole numbers, NaN is null.

        >>> import pyarrow.compute as pc
        >>> def in_cents(batch: pa.RecordBatch) -> pa.RecordBatch:
        ...     return pa.record_batch({"cents": pc.multiply(batch["fare"], 100)})
        >>> rides.map_batches(in_cents, schema=pa.schema({"cents": pa.float64()})).schema
        cents: double
        """
        with Building("map_batches") as at:
            kind = self._node.type
            checked.require_append_only(kind, "map_batches")
            if not callable(function):
                raise UserError(f"map_batches takes a function, not {function!r}")
            if max_rows is not None:
                row_count("max_rows", max_rows)
            made = kind.schema if schema is None else record_fields(schema)
            checked.check_names(made.names)
            node = MapBatches(
                type=StreamType(made, event_time=kind.event_time, lateness=kind.lateness),
                location=at,
                input=self._node,
                function=function,
                max_rows=max_rows,
                form=batch_form(function),
            )
            return self._next(node, "map_batches")

    # Whole streams

    def union(self, *others: Stream, how: Literal["vertical", "diagonal"] = "diagonal") -> Stream:
        """The rows of all. Columns are matched by name and have equal types; they come in the order of the first.

        A column that a stream lacks is null in its rows; with `how="vertical"` all streams have the same columns.

        >>> fares, cities = rides.select("at", "fare"), rides.select("at", "city")
        >>> fares.union(cities).schema.names
        ['at', 'fare', 'city']
        """
        with Building("union") as at:
            streams = (self, *others)
            for other in streams:
                if not isinstance(other, Stream):
                    raise UserError(f"union takes streams, not {other!r}")
                if other._ledger is not self._ledger:
                    raise UserError(f"{other!r} is of another flow", remedy="read both sources in one flow")
            if not others:
                raise UserError("union() of one stream", remedy="bids.union(more_bids)")
            kinds = [stream._node.type for stream in streams]
            schema = checked.union_schema(kinds, how)
            inputs = tuple(_brought(stream._node, schema, at) for stream in streams)
            bounds = tuple(b for b in kinds[0].bounds if all(b in kind.bounds for kind in kinds))
            lateness = max(kind.lateness for kind in kinds)
            kind = StreamType(schema, event_time=kinds[0].event_time, bounds=bounds, lateness=lateness)
            for other in others:
                self._ledger.take(other._end)
            return self._next(Union(type=kind, location=at, inputs=inputs), "union")

    def with_event_time(self, time: ColumnLike, *, watermark: WatermarkStrategy | None = None) -> Stream:
        """The same rows with this event time. `watermark`: as in `Flow.read`.

        >>> rides.with_event_time("at", watermark=sf.bounded_out_of_orderness("1m")).schema.names
        ['at', 'city', 'fare', 'tags']
        """
        with Building("with_event_time") as at:
            kind = self._node.type
            checked.require_append_only(kind, "with_event_time")
            expr = to_node(time)
            checked.event_time_checked(expr, kind)
            node = WithEventTime(
                type=StreamType(kind.schema, event_time=True),
                location=at,
                input=self._node,
                event_time=expr,
                watermark=checked.watermark_or_default(watermark, kind),
            )
            return self._next(node, "with_event_time")

    def step(self, name: str, *, on_error: OnError | None = None) -> Stream:
        """Names the step that was just made: the address of its state, and its name in plans, metrics and errors.

        `on_error`: what it does with a row that it cannot process, "fail", "skip" or "dead_letter"; see `Flow`.

        >>> rides.window(sf.tumbling("1h")).agg(rides=sf.count()).step("hourly")
        <hourly of flow 'rides': window_start: timestamp[us, tz=UTC], ...>
        """
        with Building("step") as at:
            if self._node.name is not None:
                raise UserError(f"the step is already called {self._node.name!r}", remedy="name each step once")
            if not self._ledger.is_open(self._end):
                raise UserError(
                    "step() names a step that another one has read", remedy="call it directly after the method"
                )
            policy = self._node.on_error if on_error is None else error_policy(on_error)
            self._ledger.name(name, at)
            self._ledger.take(self._end)
            node = replace(self._node, name=name, on_error=policy)
            return Stream(self._ledger, node, name, self._node.location)

    def pipe(self, function: Callable[Concatenate[Stream, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function makes of the stream: for steps that belong together.

        >>> def large(stream: sf.Stream, at_least: float) -> sf.Stream:
        ...     return stream.filter(col("fare") >= at_least)
        >>> rides.pipe(large, at_least=50).schema.names
        ['at', 'city', 'fare', 'tags']
        """
        return function(self, *args, **kwargs)

    def peek(self, n: int = 5) -> Stream:
        """The same rows; each worker writes its first `n` to the log.

        >>> rides.peek().schema.names
        ['at', 'city', 'fare', 'tags']
        """
        with Building("peek") as at:
            rows = row_count("peek", n)
            return self._next(Peek(type=self._node.type, location=at, input=self._node, rows=rows), "peek")

    def changes(self) -> Stream:
        """A changelog's changes as plain rows: its columns, then `change`.

        That is "insert", "update_before", "update_after" or "delete".

        >>> rides.key_by("city").agg(rides=sf.count()).changes().schema
        city: string
        rides: int64
        change: string
        """
        with Building("changes") as at:
            kind = self._node.type
            if kind.changelog is None:
                raise UserError("the stream is no changelog: its rows are plain already", remedy="leave .changes() out")
            schema = pa.schema([*kind.schema, pa.field("change", pa.string())])
            checked.check_names(schema.names)
            made = replace(kind, schema=schema, changelog=None)
            return self._next(Changes(type=made, location=at, input=self._node), "changes")

    def late(self) -> Stream:
        """Of the result of a window: the rows that came too late for it, once for each window that they missed.

        That is the columns of the rows that the window was given, then `window_start` and `window_end`, without event
        time. A session that a row missed is its own, from the row to the row + gap. Rows are counted as late all the
        same.

        >>> hourly = rides.key_by("city").window(sf.tumbling("1h")).agg(rides=sf.count())
        >>> hourly.late().schema.names
        ['at', 'city', 'fare', 'tags', 'window_start', 'window_end']
        """
        with Building("late") as at:
            node = self._node
            if not isinstance(node, Aggregate | Top) or not checked.has_late_rows(node.window):
                raise UserError(
                    f"{self!r} is not the result of a window that rows can be late for",
                    remedy='ask it directly: counts = rows.window(sf.tumbling("1h")).agg(...), then counts.late()',
                )
            kind = checked.late_type(node.keys, node.window, node.input.type)
            late = Late(type=kind, location=at, input=node, keys=node.keys, window=node.window, lateness=node.lateness)
            return self._next(late, "late")

    def write(self, name: str, sink: Sink, *, on_error: OnError | None = None) -> None:
        """Sends the rows to a sink, under a name of its own. `on_error`: what happens to rows that it refuses.

        >>> rides.write("out", memory.Sink())
        """
        with Building(name) as at:
            if not isinstance(sink, Sink):
                raise UserError(f"{sink!r} is not a sink", remedy='give an object such as parquet.Sink("out/")')
            an_object(sink)
            if self._node.type.changelog is not None and not sink.changelog:
                what = f"{type(sink).__module__.rpartition('.')[2]}.{type(sink).__qualname__}"
                key = checked.key_text(self._node.type.changelog)
                raise UserError(
                    f"{what} takes rows that are only added, and the stream is a changelog ({key})",
                    remedy="write its changes as rows, .changes().write(...), or use a sink that can update",
                )
            self._ledger.name(name, at)
            self._ledger.take(self._end)
            policy = None if on_error is None else error_policy(on_error)
            kind = self._node.type
            self._ledger.writes.append(
                Write(type=kind, location=at, name=name, on_error=policy, input=self._node, sink=sink)
            )

    # Groups of rows

    def key_by(self, *keys: ColumnLike, **named: ColumnLike) -> KeyedStream:
        """The rows by key. Keys that are computed are columns of the rows from here on.

        >>> rides.key_by("city", hour=col("at").dt.truncate("1h")).agg(rides=sf.count()).schema.names
        ['city', 'hour', 'rides']
        """
        with Building("key_by") as at:
            made = named_columns(keys, named)
            if not made:
                raise UserError(
                    "key_by() has no key", remedy='key_by("city"); without a key leave it out: .window(...)'
                )
            names = tuple(column.name for column in made)
            checked.check_names(names)
            computed = [column for column in made if column.expr != Column(column.name)]
            for column in computed:
                if column.name in self.schema.names:
                    raise SchemaError(
                        f"the key {column.name!r} has the name of a column, whose values it would hide",
                        remedy="choose another name, or replace the column before: .with_columns(...)",
                    )
            rows = self
            if computed:
                merged = _merged(self.schema, computed)
                checked.check_names(column.name for column in merged)
                rows = self._computed(merged, "key_by", at, part_of="next")
            checked.check_keys(names, rows._node.type)
            return KeyedStream(rows, names, at)

    def window(
        self, window: Window | Assigner, *, allowed_lateness: Duration | None = None, trigger: Trigger | None = None
    ) -> WindowedStream:
        """All rows by window, without a key. `allowed_lateness` and `trigger` are those of `KeyedStream.window`.

        >>> rides.window(sf.tumbling("1h")).agg(rides=sf.count(), fares=col("fare").sum()).schema
        window_start: timestamp[us, tz=UTC]
        window_end: timestamp[us, tz=UTC]
        rides: int64
        fares: double
        """
        with Building("window") as at:
            return windowed(self, (), window, allowed_lateness, trigger, at)

    def agg(self, *aggregates: Expr, **named: Expr) -> Stream:
        """Running aggregates of all rows so far: a changelog of one row.

        >>> rides.agg(rides=sf.count()).changes().schema.names
        ['rides', 'change']
        """
        with Building("agg") as at:
            checked.require_append_only(self._node.type, "agg")
            return aggregate(self, (), None, named_columns(aggregates, named), at)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method("a stream", Stream, name, instead.STREAM)

        def __getitem__(self, column: object) -> NoReturn:
            raise UserError(
                "a stream cannot be indexed",
                location=users_line(),
                remedy=f"write .select({column!r}), or col({column!r}) in an expression"
                if isinstance(column, str)
                else "write .select(...) for columns, .filter(...) for rows",
            )

        def __iter__(self) -> NoReturn:
            raise UserError(
                "a stream has no rows while it is built",
                location=users_line(),
                remedy="write it to memory.Sink(), run the flow, and read its .table()",
            )

    def _next(self, node: Node, operation: str) -> Stream:
        self._ledger.take(self._end)
        return Stream(self._ledger, node, operation, node.location)

    def _grouped(self, operation: str, at: Location) -> Stream:
        """The same rows as a new end: of what is grouped, which something must take up too."""
        self._ledger.take(self._end)
        return Stream(self._ledger, self._node, operation, at)

    def _project(self, made: list[Named], operation: str, at: Location) -> Stream:
        checked.check_names(column.name for column in made)
        return self._computed(made, operation, at)

    def _computed(
        self, made: list[Named], operation: str, at: Location, *, part_of: Literal["next"] | None = None
    ) -> Stream:
        """As `_project`, of names that are not the user's."""
        kind = checked.projected(made, self._node.type)
        node = Project(type=kind, location=at, part_of=part_of, input=self._node, columns=tuple(made))
        return self._next(node, operation)

    def _with_records(self, made: list[Named], positional: int, at: Location) -> tuple[Stream, list[Named]]:
        """Functions that give records: called in a step before, once per row, and then replaced by their fields."""
        hidden: list[Named] = []
        flat: list[Named] = []
        for number, column in enumerate(made):
            match column.expr:
                case terms.RowFunction(returns=Record(fields=fields)) if number < positional:
                    record = f"~{number}"
                    hidden.append(Named(record, column.expr))
                    flat += [Named(name, _field_of(record, name)) for name, _ in fields]
                case _:
                    flat.append(column)
        if not hidden:
            return self, made
        every = [Named(name, Column(name)) for name in self.schema.names]
        return self._computed([*every, *hidden], "with_columns", at, part_of="next"), flat

    def _of_records(self, function: terms.RowFunction, what: str) -> StreamType:
        """The type of a stream whose rows are what the function returns."""
        kind = self._node.type
        checked.require_append_only(kind, what)
        checked.row_type(function, kind)
        if not isinstance(function.returns, Record):
            raise UserError(
                f"{function.name} does not return a record, and {what} replaces the whole row",
                location=function.location,
                remedy="return a dataclass, NamedTuple or TypedDict; for one column: .with_columns(name=function)",
            )
        schema = record_schema(function.returns)
        checked.check_names(schema.names)
        return StreamType(schema, event_time=kind.event_time, lateness=kind.lateness)


def _merged(schema: pa.Schema, made: list[Named]) -> list[Named]:
    """All columns, those of the same name replaced at their places, new ones at the end."""
    checked.check_names(column.name for column in made)
    by_name = {column.name: column for column in made}
    old = [by_name.get(name, Named(name, Column(name))) for name in schema.names]
    return [*old, *(column for column in made if column.name not in schema.names)]


def _field_of(record: str, name: str) -> terms.Expr:
    return terms.Call("struct.field", (Column(record),), (("name", name),))


def _existing(name: str, schema: pa.Schema) -> int:
    """The place of a column. Raises SchemaError where there is none."""
    terms.column_type(text("a column's name", name, '"price"'), schema)
    return list(schema.names).index(name)


def _brought(node: Node, schema: pa.Schema, at: Location) -> Node:
    """The rows with exactly these columns, in this order; null where it has none."""
    if node.type.schema.names == schema.names:
        return node
    have = set(node.type.schema.names)
    made = tuple(
        Named(field.name, Column(field.name) if field.name in have else terms.Literal(None, field.type))
        for field in schema
    )
    return Project(type=checked.projected(made, node.type), location=at, input=node, columns=made)

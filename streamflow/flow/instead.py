"""What users of polars, pandas, Flink, Beam and Spark would try, and what it is called here."""

from __future__ import annotations

from collections.abc import Mapping

_AGGREGATES = {
    name: f"aggregates stand in agg: .agg(x=col('x').{name}())" for name in ("sum", "min", "max", "mean", "n_unique")
}

STREAM: Mapping[str, str] = {
    **_AGGREGATES,
    "count": "write .agg(rows=sf.count()), running, or .window(...).agg(rows=sf.count())",
    "group_by": "write .key_by(...), then .window(...).agg(...) or a running .agg(...)",
    "groupby": "write .key_by(...), then .window(...).agg(...) or a running .agg(...)",
    "group_by_dynamic": "write .key_by(...).window(sf.sliding(size, every=...)).agg(...)",
    "groupBy": "write .key_by(...), then .window(...).agg(...) or a running .agg(...)",
    "rolling": "write .key_by(...).window(sf.sliding(size, every=...)).agg(...)",
    "partition_by": "write .key_by(...)",
    "keyBy": "write .key_by(...)",
    "where": "write .filter(...)",
    "query": "write .filter(col('price') > 100)",
    "having": "filter the result of agg: .agg(...).filter(...)",
    "assign": "write .with_columns(name=...)",
    "with_column": "write .with_columns(name=...)",
    "withColumn": "write .with_columns(name=...)",
    "apply": "write .map(function) for whole rows, .with_columns(name=function) for one column",
    "map_rows": "write .map(function) for whole rows, .with_columns(name=function) for one column",
    "map_elements": "write .with_columns(name=function)",
    "flatMap": "write .flat_map(function)",
    "concat": "write .union(other)",
    "vstack": "write .union(other)",
    "sort": "a stream has no end to sort by: write .window(...).top(n, by=...)",
    "sort_values": "a stream has no end to sort by: write .window(...).top(n, by=...)",
    "top": "write .window(...).top(n, by=...)",
    "top_k": "write .window(...).top(n, by=...)",
    "head": "write .peek(n) to look at rows, .window(...).top(n, by=...) to keep some",
    "limit": "write .peek(n) to look at rows, .window(...).top(n, by=...) to keep some",
    "show": "write .peek(n)",
    "print": "write .peek(n)",
    "columns": "write .schema.names",
    "dtypes": "write .schema.types",
    "unique": "write .key_by(...).window(...).agg(...), which gives one row per key and window",
    "assign_timestamps_and_watermarks": "write .with_event_time('ts', watermark=sf.bounded_out_of_orderness('5s'))",
    "with_watermark": "write .with_event_time('ts', watermark=sf.bounded_out_of_orderness('5s'))",
    "name": "write .step('name')",
    "uid": "write .step('name')",
    "sink": "write .write('out', sink)",
    "sink_to": "write .write('out', sink)",
    "collect": "write the stream to memory.Sink(), run the flow, and read its .table()",
    "to_pandas": "write the stream to memory.Sink(), run the flow, and read its .table()",
    "tumbling": "write .window(sf.tumbling('10s'))",
    "sliding": "write .window(sf.sliding('10s', every='2s'))",
    "session": "write .window(sf.session('30m'))",
}

_ROWS_FIRST = {
    name: f"write .{name}(...) before .key_by(...)"
    for name in (
        "filter",
        "select",
        "with_columns",
        "drop",
        "rename",
        "map",
        "flat_map",
        "explode",
        "map_batches",
        "union",
    )
}

KEYED: Mapping[str, str] = {
    **_AGGREGATES,
    **_ROWS_FIRST,
    "count": "write .agg(rows=sf.count()), running, or .window(...).agg(rows=sf.count())",
    "aggregate": "write .agg(...)",
    "reduce": "write .agg(...)",
    "head": "write .window(...).top(n, by=...)",
    "write": "aggregate first: .agg(...), or .window(...).agg(...)",
    "step": "name the step that follows: .agg(...).step('name')",
    "key_by": "give all keys to one: .key_by('a', 'b')",
    "schema": "ask the stream before .key_by(...)",
}

WINDOWED: Mapping[str, str] = {
    **_AGGREGATES,
    "count": "write .agg(rows=sf.count())",
    "aggregate": "write .agg(...)",
    "reduce": "write .agg(...)",
    "apply": "write .agg(...), or .top(n, by=...) for rows",
    "filter": "filter the rows before .window(...), or the results after .agg(...)",
    "key_by": "write .key_by(...) before .window(...)",
    "write": "aggregate first: .agg(...)",
    "step": "name the step that follows: .agg(...).step('name')",
    "schema": "ask the stream before .window(...), or after .agg(...)",
}

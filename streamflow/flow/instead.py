"""What users of polars, pandas, Flink, Beam and Spark would try, and what it is called here."""

from __future__ import annotations

from collections.abc import Mapping

LATER: Mapping[str, str] = {
    #
    # Joins
    "join": "",
    #
    # Errors
    "step(ttl=)": "use a window: its state is dropped when it ends",
    #
    # Functions
    "fn(concurrency=)": "",
    "fn(timeout=)": "",
    "fn(retry=)": "call the function again in a function of your own",
    "secret": "read it in build, from os.environ",
    "Json": "",
    "Debezium": "",
}
"""What only later versions have: methods, names of the package, keywords; and what to do until then."""

CALLS: Mapping[str, str] = {
    "Aggregates.count": "write col('x').count()",
    "Aggregates.sum": "write col('x').sum()",
    "Flow": 'write sf.Flow("hot-items")',
    "Flow.read": 'write flow.read("bids", parquet.Source("bids/*.parquet"), event_time="date_time")',
    "KeyedStream.process": "write process(Alerts()), or process(Alerts(), ordered=False)",
    "KeyedStream.top": 'write top(3, by="fare")',
    "KeyedStream.window": 'write window(sf.tumbling("10s"))',
    "Stream.drop": 'write drop("a", "b")',
    "Stream.filter": "write filter(col('x') == 1)",
    "Stream.rename": 'write rename({"old": "new"})',
    "Stream.step": 'write step("counts")',
    "Stream.window": 'write window(sf.tumbling("10s"))',
    "Stream.write": 'write .write("out", parquet.Sink("out/"))',
    "WindowedStream.top": 'write top(3, by="fare")',
    "cumulative": 'write sf.cumulative("1d", step="1h")',
    "fn": 'write sf.fn(math.sqrt, args=["fare"], returns=float)',
    "count_window": "write sf.count_window(100)",
    "trigger": "write sf.trigger(early=1000)",
    "session": 'write sf.session("30m")',
    "sliding": 'write sf.sliding("10s", every="2s")',
    "tumbling": 'write sf.tumbling("10s")',
}
"""How methods are called, for those who call them with arguments that they do not take."""

_AGGREGATES = {
    name: f"aggregates stand in agg: .agg(x=col('x').{name}())"
    for name in ("sum", "min", "max", "mean", "std", "var", "median", "n_unique", "any", "all", "first", "last", "list")
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
    "process": "write .key_by(...).process(...)",
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
    "unique": "write .key_by(...).dedup(), or .window(...).agg(...) for one row per key and window",
    "dedup": "write .key_by(...).dedup()",
    "drop_duplicates": "write .key_by(...).dedup()",
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
    "apply": "write .process(function) with a class derived from sf.KeyedFunction",
    "stateful_map": "write .process(function) with a class derived from sf.KeyedFunction",
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

FLOW: Mapping[str, str] = {
    "run": "write sf.run(flow)",
    "execute": "write sf.run(flow)",
    "write": "write a stream: flow.read(...).write('out', sink)",
    "source": "write .read('name', source)",
    "add_source": "write .read('name', source)",
    "from_source": "write .read('name', source)",
    "scan": "write .read('name', source)",
}

MODULE: Mapping[str, str] = {
    **{name: f"write sf.col('x').{name}()" for name in ("sum", "min", "max", "mean", "n_unique")},
    "len": "write sf.count()",
    "column": "write sf.col('x')",
    "greatest": "write sf.max_horizontal('a', 'b')",
    "least": "write sf.min_horizontal('a', 'b')",
    "literal": "write sf.lit(1)",
    "window": "write sf.tumbling('10s'), sf.sliding('10s', every='2s') or sf.session('30m')",
    "hop": "write sf.sliding('10s', every='2s')",
    **dict.fromkeys(("processing_time", "proctime", "now"), "write sf.tumbling('10s', time='processing')"),
    "hopping": "write sf.sliding('10s', every='2s')",
    "concat": "write stream.union(other)",
    **{
        f"{verb}_{suffix}": f"write flow.read('rows', {source}.Source(path)), after: "
        f"from streamflow_connectors import {source}"
        for verb in ("read", "scan")
        for suffix, source in (("parquet", "parquet"), ("csv", "csv"), ("ndjson", "jsonl"), ("json", "jsonl"))
    },
}

"""What users of polars, pandas and SQL would try on an expression, and what it is called here."""

from __future__ import annotations

from collections.abc import Mapping

_NEIGHBOURS = "rows have no neighbours in a stream: "
_SLIDING = "write .window(sf.sliding(size, every=...)).agg(...)"
_RUNNING = "write a running .key_by(...).agg(...), or .window(...).agg(...)"
_TOP = "a stream has no end to sort by: write .window(...).top(n, by=...)"
_KEYED = "a class derived from sf.KeyedFunction keeps what it needs of earlier rows: .key_by(...).process(...)"
_OWN = "write an aggregate of your own: sf.aggregate(object, column)"
_FUNCTION = "put a function of yours where the expression goes: with_columns(label=classify)"
_STREAM_FILTER = "filter the stream: stream.filter(...)"
_COUNT = "write sf.count() for the number of rows, or .count() for the values that are not null"
_LISTED = "gather the values first, .agg(x=col('x').list()), then take them from the list"
_DEDUP = "write .key_by(...).dedup() for one row per key, or .window(...).agg(rows=sf.count()) to count them"
_BITS = "write sf.fn(function, args=['x'], returns=int) with a function of integers"
_EXPLODE = "make rows of the elements: stream.explode(...)"

_OPERATORS = {
    "add": "a + b",
    "sub": "a - b",
    "mul": "a * b",
    "truediv": "a / b",
    "floordiv": "a // b",
    "mod": "a % b",
    "neg": "-a",
    "eq": "a == b",
    "ne": "a != b",
    "lt": "a < b",
    "le": "a <= b",
    "gt": "a > b",
    "ge": "a >= b",
    "and_": "a & b",
    "or_": "a | b",
    "not_": "~a",
    "xor": "a != b",
    "truncdiv": "(a / b).cast(int)",
    "dot": "(col('a') * col('b')).sum()",
    "log1p": "(1 + col('x')).log()",
    "cot": "1 / col('x').tan()",
    "is_close": "(col('a') - col('b')).abs() <= 1e-9",
    "truncate": "col('x').cast(int) for whole numbers",
    "drop_nulls": "stream.filter(col('x').is_not_null())",
    "drop_nans": "stream.filter(col('x').is_not_nan())",
    "null_count": "sf.count(filter=col('x').is_null())",
    "has_nulls": "sf.count(filter=col('x').is_null()) > 0",
    "nan_max": ".max(), in which NaN is the greatest number",
    "nan_min": ".min(), in which NaN is the greatest number",
    "mode": ".window(...).agg(rows=sf.count()), then .top(1, by='rows')",
    "value_counts": ".key_by('x').window(...).agg(rows=sf.count())",
    "unique_counts": ".key_by('x').window(...).agg(rows=sf.count())",
    "hist": ".key_by(bin=col('x') // 10).window(...).agg(rows=sf.count())",
    "implode": ".list()",
    "inspect": "stream.peek(n)",
    "exclude": "stream.drop('a', 'b')",
    "sample": "stream.filter(col('id').hash() % 100 < 10)",
    "average": ".mean()",
    "avg": ".mean()",
    "nunique": ".n_unique()",
    "approx_count_distinct": ".approx_n_unique()",
    "percentile": ".quantile(0.95)",
    "stddev": ".std()",
    "variance": ".var()",
    "isin": ".is_in([...])",
    "between": ".is_between(low, high)",
    "isnull": ".is_null()",
    "isna": ".is_null()",
    "notnull": ".is_not_null()",
    "fillna": ".fill_null(value)",
    "isnan": ".is_nan()",
    "ln": ".log()",
    "power": ".pow(n), or ** n",
    "cut": "when(col('x') < 10).then(lit('low')).otherwise(lit('high'))",
    "map_dict": ".replace({'old': 'new'})",
    "arr": ".list",
    "astype": ".cast(type)",
    "radian": ".radians()",
    "atan": ".arctan()",
    "asin": ".arcsin()",
    "acos": ".arccos()",
    "to_physical": ".dt.epoch('us') for times, .cast(int)",
}

_ROLLING = ("kurtosis", "map", "max", "mean", "median", "min", "quantile", "rank", "skew", "std", "sum", "var")

EXPR: Mapping[str, str] = {
    **{word: f"write {text}" for word, text in _OPERATORS.items()},
    "over": "key_by(...).window(...).agg(...) computes per key and time; join its result back on the key",
    "group_by": "group rows with stream.key_by(...), then .window(...).agg(...)",
    **dict.fromkeys(("sort", "sort_by", "top_k", "top_k_by", "bottom_k", "bottom_k_by", "rank"), _TOP),
    **dict.fromkeys(("arg_sort", "is_sorted", "set_sorted", "search_sorted", "reverse"), _TOP),
    "shift": _NEIGHBOURS + "use a window and .min(), .max() of it",
    "diff": _NEIGHBOURS + "use a window and max() - min()",
    "pct_change": _NEIGHBOURS + "use a window and (col('x').last() - col('x').first()) / col('x').first()",
    **dict.fromkeys(("forward_fill", "backward_fill", "interpolate", "interpolate_by"), _NEIGHBOURS + _KEYED),
    **dict.fromkeys(("rle", "rle_id", "peak_max", "peak_min", "cumulative_eval"), _NEIGHBOURS + _KEYED),
    **dict.fromkeys((f"ewm_{kind}" for kind in ("mean", "mean_by", "std", "sum", "sum_by", "var")), _KEYED),
    **dict.fromkeys((f"cum_{kind}" for kind in ("sum", "count", "max", "min", "prod")), _RUNNING),
    "rolling": _SLIDING,
    **{
        f"rolling_{kind}{by}": _SLIDING
        for kind in _ROLLING
        for by in ("", "_by")
    },
    **dict.fromkeys(("apply", "map", "map_elements"), "put the function itself where the expression goes: "
                    "with_columns(label=classify)"),
    "map_batches": "use stream.map_batches(function)",
    **dict.fromkeys(("pipe", "pipe_with_dtype"), "use stream.pipe(function)"),
    **dict.fromkeys(("filter", "where"), _STREAM_FILTER),
    **dict.fromkeys(("len", "size"), _COUNT),
    "arg_max": "rows have no numbers in a stream: col('bidder').max_by('price') is the bidder of the highest price",
    "arg_min": "rows have no numbers in a stream: col('bidder').min_by('price') is the bidder of the lowest price",
    **dict.fromkeys(("arg_true", "arg_unique", "index_of"), "rows have no numbers in a stream: " + _STREAM_FILTER),
    "agg": _OWN,
    **dict.fromkeys(("product", "skew", "kurtosis", "entropy", "bitwise_and", "bitwise_or", "bitwise_xor"), _OWN),
    "name": "write .alias('name'), or give the name as a keyword: with_columns(name=...)",
    "unique": "write stream.key_by(...).window(...).agg(...), which gives one row per key and window",
    **dict.fromkeys(("is_duplicated", "is_unique", "is_first_distinct", "is_last_distinct", "drop_duplicates"), _DEDUP),
    **dict.fromkeys(("head", "tail", "limit", "slice", "get", "item", "gather", "gather_every"), _LISTED),
    **dict.fromkeys(("append", "extend_constant"), "write stream.union(other)"),
    "explode": _EXPLODE,
    "is_empty": "write .list.len() == 0, or .str.len_chars() == 0",
    **dict.fromkeys(("shuffle", "reshape", "reinterpret", "repeat_by", "deserialize"), _FUNCTION),
    **dict.fromkeys(("round_sig_figs", "erf", "erfc", "qcut"), _FUNCTION),
    **dict.fromkeys(("bin_intervals", "bin_quantiles", "bin_ranks"), "write .quantile(q) over a window for the bounds, "
                    "then when(col('x') < 10).then(lit('low')).otherwise(lit('high'))"),
    **dict.fromkeys((f"bitwise_{what}_{bit}" for what in ("count", "leading", "trailing") for bit in ("ones", "zeros")),
                    _BITS),
    **dict.fromkeys(("sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh"), "write sf.fn(math.tanh, args=['x'], "
                    "returns=float)"),
    **dict.fromkeys(("lower_bound", "upper_bound"), "write lit(value): a type's bounds are constants"),
    "cat": "text has no categories here: write .str",
    **dict.fromkeys(("bin", "ext"), _FUNCTION),
    "meta": "write repr(expression) to see it, stream.schema for its type",
}  # fmt: skip

TEXT: Mapping[str, str] = {
    "lower": "write .str.to_lowercase()",
    "upper": "write .str.to_uppercase()",
    "title": "write .str.to_titlecase()",
    "len": "write .str.len_chars()",
    "length": "write .str.len_chars()",
    "strip": "write .str.strip_chars()",
    "startswith": "write .str.starts_with(...)",
    "endswith": "write .str.ends_with(...)",
    "strptime": "write .str.to_datetime(format)",
    "to_time": "write .str.to_datetime(format), and .dt.hour(), .dt.minute() of it",
    "to_decimal": "write .cast(pa.decimal128(12, 2))",
    "concat": "write a + b, or sf.concat_str(...)",
    "join": "gather the texts, .agg(s=col('s').list()), then col('s').list.join('-')",
    "ljust": "write .str.pad_end(...)",
    "rjust": "write .str.pad_start(...)",
    "lstrip": "write .str.strip_chars_start()",
    "rstrip": "write .str.strip_chars_end()",
    "removeprefix": "write .str.strip_prefix(...)",
    "removesuffix": "write .str.strip_suffix(...)",
    "json_extract": "write .str.json_path_match('$.a.b[0]')",
    "json_decode": "write .str.json_path_match('$.a.b[0]') for each value that you need",
    "findall": "write .str.extract_all(pattern)",
    "extract_many": "write .str.extract_all('one|other')",
    "find_many": "write .str.find('one|other') for the first of them",
    "index": "write .str.find(text, literal=True)",
    "len_utf8": "write .str.len_bytes()",
    "splitn": "write .str.split(by), and .list.slice(...) of it",
    "split_exact": "write .str.split(by).list.get(0)",
    "substring": "write .str.slice(offset, length)",
    **dict.fromkeys(("encode", "decode"), "write sf.fn(function, args=['s'], returns=str)"),
    "escape_regex": "write literal=True, for a pattern that is plain text",
}

TIME: Mapping[str, str] = {
    "timestamp": "write .dt.epoch('us')",
    "to_string": "write .dt.strftime(format)",
    "floor": "write .dt.truncate('1h')",
    "round": "write .dt.offset_by('30m').dt.truncate('1h') for the nearest hour",
    "time": "write .dt.strftime('%T'), or t - t.dt.truncate('1d') for the time since midnight",
    "combine": "write day + timedelta(hours=8), or col('day') + col('duration')",
    "replace": "write .dt.truncate('1mo').dt.offset_by('14d'), or .dt.strftime(...) and .str.to_datetime(...)",
    "century": "write (t.dt.year() - 1) // 100 + 1",
    "millennium": "write (t.dt.year() - 1) // 1000 + 1",
    "dayofweek": "write .dt.weekday()",
    "day_of_year": "write .dt.ordinal_day()",
    "iso_week": "write .dt.week()",
    "convert_time_zone": "times are UTC; what clocks show: .dt.hour('Europe/Berlin'), .dt.truncate('1d', tz=...)",
    "replace_time_zone": "times are UTC; what clocks show: .dt.hour('Europe/Berlin'), .dt.truncate('1d', tz=...)",
    **dict.fromkeys(("base_utc_offset", "dst_offset"), "times are UTC; what clocks show: .dt.hour('Europe/Berlin')"),
    "cast_time_unit": "times are microseconds; other units are whole numbers: .dt.epoch('ms')",
    "nanosecond": "times are microseconds: .dt.microsecond()",
    "total_nanoseconds": "durations are microseconds: .dt.total_microseconds()",
    "is_business_day": "write .dt.weekday() <= 5, and .dt.date().is_in([...]) for holidays",
    "add_business_days": "put a function of yours where the expression goes: with_columns(due=due)",
}

_SETS = "make rows of the elements, stream.explode(...), or write a row function of list[...]"

LISTS: Mapping[str, str] = {
    "length": "write .list.len()",
    "size": "write .list.len()",
    **dict.fromkeys(("eval", "agg", "filter", "explode"), _EXPLODE),
    "distinct": "write .list.unique()",
    "item": "write .list.get(0)",
    "count": "write .list.len(), or .list.count_matches(value)",
    "to_struct": "write sf.struct(first=col('x').list.get(0), second=col('x').list.get(1))",
    **dict.fromkeys(("gather", "gather_every"), "write .list.get(i), or .list.slice(offset, length)"),
    **dict.fromkeys(("arg_min", "arg_max"), "write .list.min() and .list.max() for the values"),
    **dict.fromkeys((f"set_{what}" for what in ("union", "intersection", "difference", "symmetric_difference")), _SETS),
    **dict.fromkeys(("concat", "diff", "shift", "sample", "median"), _SETS),
    **dict.fromkeys(("to_array", "to_map"), "lists stay lists: write a row function for anything else"),
}

STRUCT: Mapping[str, str] = {
    "unnest": "write stream.unnest('place'), or take the fields one by one: .struct.field('x')",
    **dict.fromkeys(
        ("rename_fields", "with_fields", "drop", "eval"),
        "make a new one: sf.struct(city=col('place').struct.field('city'))",
    ),
    "json_encode": "write a row function that returns json.dumps(place)",
}

"""Whatever Python can call is a row function, and a batch may come and go in any form."""

from __future__ import annotations

import functools
import math
import operator
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow.errors import StreamflowError, UserError
from streamflow.testing import assert_rows

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import polars as pl

F = TypeVar("F", bound=Callable[..., Any])

# Row functions

ROWS = pa.table({"a": [1, 2], "b": [10, 20], "s": ["x", None]})


def traced(function: F) -> F:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def add(a: int, b: int) -> int:
    return a + b


def add_keywords(*, b: int, a: int) -> int:
    return a + b


def add_positional(a: int, b: int, /) -> int:
    return a + b


def with_default(a: int, missing: int = 5) -> int:
    return a + missing


def with_column_for_a_default(a: int, b: int = 5) -> int:
    return a + b


def rest(a: int, **row: Any) -> int:
    assert list(row) == ["b", "s"]
    return int(a + row["b"])


def only_rest(**row: Any) -> int:
    assert list(row) == ["a", "b", "s"]
    return int(row["a"] + row["b"])


def hundred_first(more: int, a: int, b: int) -> int:
    return more + a + b


def third(a: int, b: int, c: int) -> int:
    return a + b + c


class Adder:
    def __init__(self, more: int) -> None:
        self.more = more

    def __call__(self, a: int, b: int) -> int:
        return a + b + self.more

    def bound(self, a: int, b: int) -> int:
        return a + b + self.more

    @classmethod
    def of_class(cls, a: int, b: int) -> int:
        return a + b

    @staticmethod
    def static(a: int, b: int) -> int:
        return a + b


SUMS: dict[str, tuple[Any, list[int]]] = {
    "function": (add, [11, 22]),
    "positional only": (add_positional, [11, 22]),
    "default that no column has": (with_default, [6, 7]),
    "default beside a column of its name": (with_column_for_a_default, [6, 7]),
    "**row": (rest, [11, 22]),
    "nothing but **row": (only_rest, [11, 22]),
    "decorated": (traced(add), [11, 22]),
    "decorated twice": (traced(traced(add)), [11, 22]),
    "lru_cache": (functools.lru_cache(add), [11, 22]),
    "partial by position": (functools.partial(hundred_first, 100), [111, 122]),
    "partial by keyword": (functools.partial(third, c=100), [111, 122]),
    "partial of a partial": (functools.partial(functools.partial(third, c=100)), [111, 122]),
    "callable object": (Adder(1), [12, 23]),
    "bound method": (Adder(2).bound, [13, 24]),
    "class method": (Adder.of_class, [11, 22]),
    "static method": (Adder.static, [11, 22]),
    "partial of an object": (functools.partial(Adder(1), b=0), [2, 3]),
    "lambda": (sf.fn(lambda a, b: a + b, returns=int), [11, 22]),
    "lambda of other names": (sf.fn(lambda x, y: x + y, args=["a", "b"], returns=int), [11, 22]),
    "builtin": (sf.fn(max, args=["a", "b"], returns=int), [10, 20]),
    "operator": (sf.fn(operator.add, args=["a", "b"], returns=int), [11, 22]),
    "method of a type": (sf.fn(int.bit_length, args=["b"], returns=int), [4, 5]),
    "of the library": (sf.fn(math.gcd, args=["a", "b"], returns=int), [1, 2]),
    "ufunc": (sf.fn(np.add, args=["a", "b"], returns=int), [11, 22]),
}


@pytest.mark.parametrize("form", list(SUMS))
def test_whatever_can_be_called_with_columns_is_a_row_function(form: str) -> None:
    function, expected = SUMS[form]
    flow = sf.Flow("f")
    flow.read("rows", memory.Source(ROWS)).select(total=function).write("out", memory.Sink())
    assert sf.testing.run(flow, {"rows": ROWS})["out"]["total"].to_pylist() == expected


@pytest.mark.parametrize("function", [add_keywords, functools.partial(third, a=1)])
def test_parameters_that_go_only_by_keyword_are_refused(function: Any) -> None:
    with pytest.raises(UserError, match="the parameter 'b' cannot be a column"):
        sf.Flow("f").read("rows", memory.Source(ROWS)).select(total=function)


SCRIPT = """
from __future__ import annotations
from typing import NamedTuple
import streamflow as sf
from streamflow_connectors import jsonl, memory
import pyarrow as pa

class Pair(NamedTuple):
    a: int
    twice: int | None

def pair(a: int) -> Pair:
    return Pair(a, 2 * a)

def build(out: str = "out") -> sf.Flow:
    flow = sf.Flow("pairs")
    flow.read("rows", memory.Source(pa.table({"a": [1, 2]}))).map(pair).write("out", jsonl.Sink(out))
    return flow

if __name__ == "__main__":
    sf.main(build)
"""


@pytest.mark.integration
def test_functions_and_types_of_a_script_that_is_run_itself_are_found(tmp_path: Path) -> None:
    script = tmp_path / "pairs.py"
    script.write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, "--out", tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [
        line for file in (tmp_path / "out").glob("*.jsonl") for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert sorted(lines) == ['{"a":1,"twice":2}', '{"a":2,"twice":4}']


# Functions of batches

TIMED = pa.schema({"at": pa.timestamp("us", "UTC"), "n": pa.int64(), "s": pa.string()})
DAYS = [datetime(2024, 5, day, tzinfo=UTC) for day in (1, 2, 3)]
EVENTS: list[dict[str, Any]] = [
    {"at": at, "n": n, "s": s} for at, n, s in zip(DAYS, (1, 2, None), ("a", None, "é"), strict=True)
]


Change = Callable[[Any, str], Any]


def of_arrow(change: Change, keep: Callable[[int], bool]) -> Any:
    def function(batch: pa.RecordBatch) -> pa.RecordBatch:
        return change(batch.filter(pa.array([keep(t.day) for t in batch["_time"].to_pylist()])), "arrow")

    return function


def of_polars(change: Change, keep: Callable[[int], bool]) -> Any:
    def function(frame: pl.DataFrame) -> pl.DataFrame:
        import polars

        made: pl.DataFrame = change(
            frame.filter(polars.Series([keep(t.day) for t in frame["_time"]], dtype=polars.Boolean)), "polars"
        )
        return made

    return function


def of_pandas(change: Change, keep: Callable[[int], bool]) -> Any:
    def function(frame: pd.DataFrame) -> pd.DataFrame:
        made: pd.DataFrame = change(frame[[keep(t.day) for t in frame["_time"]]], "pandas")
        return made

    return function


def of_numpy(change: Change, keep: Callable[[int], bool]) -> Any:
    def function(columns: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        kept = np.array([keep(t.astype("datetime64[D]").item().day) for t in columns["_time"]], np.bool_)
        made: dict[str, np.ndarray[Any, Any]] = change({name: v[kept] for name, v in columns.items()}, "numpy")
        return made

    return function


FORMS = {"arrow": of_arrow, "polars": of_polars, "pandas": of_pandas, "numpy": of_numpy}


def unchanged(batch: Any, form: str) -> Any:
    return batch


def renamed(batch: Any, form: str) -> Any:
    match form:
        case "arrow":
            return batch.rename_columns({"n": "m"})
        case "numpy":
            return {{"n": "m"}.get(name, name): values for name, values in batch.items()}
        case "pandas":
            return batch.rename(columns={"n": "m"})
    return batch.rename({"n": "m"})


def run(function: Any, **options: Any) -> pa.Table:
    flow = sf.Flow("batches")
    rows = flow.read("rows", memory.Source(TIMED.empty_table()), event_time="at")
    made = rows.map_batches(function, **options).step("clean")
    made.with_columns(seen="_time").write("out", memory.Sink())
    return sf.testing.run(flow, {"rows": EVENTS}, seed=3)["out"]


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("days", [{1, 2, 3}, {2, 3}, {3}, set()])
def test_any_number_of_rows_comes_back_with_their_times(form: str, days: set[int]) -> None:
    made = run(FORMS[form](unchanged, lambda day: day in days))
    assert_rows(made, [{**event, "seen": event["at"]} for event in EVENTS if event["at"].day in days])


@pytest.mark.parametrize("form", list(FORMS))
def test_columns_that_the_schema_does_not_have_name_function_step_and_line(form: str) -> None:
    with pytest.raises(StreamflowError, match="its schema does not have: m") as caught:
        run(FORMS[form](renamed, lambda day: True))
    assert caught.value.step == "clean"
    assert __file__ in str(caught.value)
    made = run(
        FORMS[form](renamed, lambda day: True), schema=pa.schema([*[TIMED.field(i) for i in (0, 2)], ("m", pa.int64())])
    )
    assert_rows(made, [{"at": e["at"], "m": e["n"], "s": e["s"], "seen": e["at"]} for e in EVENTS])


@pytest.mark.parametrize("form", list(FORMS))
def test_a_value_of_another_type_names_function_step_and_line(form: str) -> None:
    with pytest.raises(StreamflowError, match=r"than its schema says: .*'s'") as caught:
        run(
            FORMS[form](unchanged, lambda day: True),
            schema=pa.schema({**dict(zip(TIMED.names, TIMED.types, strict=True)), "s": pa.int64()}),
        )
    assert caught.value.step == "clean"
    assert __file__ in str(caught.value)


@pytest.mark.parametrize("form", ["pandas", "numpy"])
def test_a_float_that_is_not_whole_is_no_integer(form: str) -> None:
    def halved(batch: Any, form: str) -> Any:
        return batch.assign(n=batch["n"] / 2) if form == "pandas" else {**batch, "n": batch["n"] / 2}

    with pytest.raises(StreamflowError, match=r"0\.5|truncated") as caught:
        run(FORMS[form](halved, lambda day: True))
    assert caught.value.step == "clean"

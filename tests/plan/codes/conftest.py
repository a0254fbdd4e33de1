"""The same in SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from streamflow.flow.expr import Expr
from streamflow.testing import evaluate


@pytest.fixture(scope="session")
def differences() -> Callable[[Sequence[tuple[Expr, str]], Mapping[str, pa.Array]], list[Any]]:
    """Where expressions over these columns give something else than their SQL does in DuckDB; as text, so NaN is NaN.

    Floats are compared to twelve digits.
    """
    connection = duckdb.connect()
    connection.execute("SET threads = 1")

    def compare(pairs: Sequence[tuple[Expr, str]], columns: Mapping[str, pa.Array]) -> list[Any]:
        connection.register("columns", pa.table(dict(columns)))
        rows = connection.execute(f"SELECT {', '.join(sql for _, sql in pairs)} FROM columns").fetchall()
        got = [evaluate(expr, **columns) for expr, _ in pairs]
        return [
            (sql, values, list(expected))
            for (_, sql), values, expected in zip(pairs, got, zip(*rows, strict=True), strict=True)
            if list(map(_text, values)) != list(map(_text, expected))
        ]

    return compare


def _text(value: Any) -> str:
    return f"{value + 0.0:.12g}" if isinstance(value, float) else repr(value)

from __future__ import annotations

import pyarrow as pa
import pytest

from streamflow.operators.changes import ShowChanges
from streamflow.operators.events import Watermark

SCHEMA = pa.schema({"k": pa.string(), "n": pa.int64(), "_time": pa.timestamp("us", "UTC"), "_change": pa.int8()})


def test_each_change_is_shown_as_a_word_behind_the_visible_columns() -> None:
    columns = [["a"] * 4, [1, 1, 2, 2], [0, 1, 1, 2], [0, 1, 2, 3]]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    operator = ShowChanges(SCHEMA)
    [rows] = operator.on_batch(0, pa.record_batch(arrays, schema=SCHEMA))
    assert isinstance(rows, pa.RecordBatch)
    assert rows.schema.equals(operator.output_schema)
    assert rows.schema.names == ["k", "n", "change", "_time"]
    assert rows["change"].to_pylist() == ["insert", "update_before", "update_after", "delete"]
    assert rows["n"].to_pylist() == [1, 1, 2, 2]


def test_the_watermark_passes() -> None:
    assert list(ShowChanges(SCHEMA).on_watermark(Watermark(5))) == [Watermark(5)]


def test_rows_that_are_no_changelog_or_have_the_name_taken_are_refused() -> None:
    with pytest.raises(ValueError, match="no changelog"):
        ShowChanges(pa.schema({"k": pa.string()}))
    with pytest.raises(ValueError, match="a column 'change' already"):
        ShowChanges(SCHEMA.append(pa.field("change", pa.string())))

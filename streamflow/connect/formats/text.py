"""Lines of text to batches and back: one string column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamflow.connect.quoting import Quoting
from streamflow.errors import SchemaError

LINE = "line"
SCHEMA = pa.schema([(LINE, pa.string())])


class TextDecoder:
    """Each line is a row of the column `line`, without its newline (`\\n` or `\\r\\n`); empty lines are rows too."""

    quoting: Quoting | None = None
    header: bool = False

    def on_header(self, record: bytes) -> None:
        """Text has no header."""

    def decode(self, block: bytes) -> pa.RecordBatch:
        """The lines as rows. Raises UnicodeDecodeError if one is not UTF-8.

        >>> TextDecoder().decode(b"one\\r\\n\\ntwo").to_pydict()
        {'line': ['one', '', 'two']}
        """
        if not block.isascii():
            block.decode()
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        array = np.frombuffer(block, np.uint8)
        is_text = array != ord("\n")
        ends = np.flatnonzero(~is_text)
        if len(array) and is_text[-1]:
            ends = np.append(ends, len(array))
        # Without the newlines, line i starts i bytes earlier than it does with them.
        offsets = np.zeros(len(ends) + 1, np.int32)
        offsets[1:] = ends - np.arange(len(ends))
        lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(array[is_text]))
        return pa.RecordBatch.from_arrays([lines], schema=SCHEMA)


class TextEncoder:
    """Writes the first string column of `schema`, a line per row; null is an empty line."""

    header = b""

    def __init__(self, schema: pa.Schema) -> None:
        strings = [index for index, type_ in enumerate(schema.types) if pa.types.is_string(type_)]
        if not strings:
            raise SchemaError(
                f"none of the columns {schema.names} is a string", remedy="select a string column before the text sink"
            )
        self._index = strings[0]

    def encode(self, batch: pa.RecordBatch) -> pa.Buffer:
        import pyarrow.compute as pc

        lines = pc.binary_join_element_wise(
            batch.column(self._index), "\n", "", null_handling="replace", null_replacement=""
        )
        return string_bytes(lines)


def string_bytes(strings: pa.StringArray) -> pa.Buffer:
    """All values one after the other; zero-copy.

    >>> string_bytes(pa.array(["ab", "c", "d"]).slice(1)).to_pybytes()
    b'cd'
    """
    if not len(strings):
        return pa.py_buffer(b"")
    offsets = np.frombuffer(strings.buffers()[1], np.int32)
    start, end = int(offsets[strings.offset]), int(offsets[strings.offset + len(strings)])
    return strings.buffers()[2].slice(start, end - start)

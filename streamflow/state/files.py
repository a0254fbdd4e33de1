"""A snapshot as one Arrow IPC file in bytes: what a checkpoint stores of a container.

Any Arrow tool reads it. The schema's metadata `streamflow.snapshot` is JSON: a checksum, the versions of the format
and of the key hash (rule 19), the rows'
offsets per key group and the container's own meta. The checksum is the CRC-32 of the whole file with zeros in place of
its own digits, which stand in the file twice: in the schema at the front and in the footer. So a damaged file is told
from a sound one before anything in it is believed.
"""

from __future__ import annotations

import json
import re
import zlib

import numpy as np
import pyarrow as pa

from streamflow.errors import Fatal
from streamflow.kernels.hashing import HASH_VERSION
from streamflow.state.container import Snapshot

FORMAT_VERSION = 1
_METADATA = b"streamflow.snapshot"
_MARK = re.compile(rb'({"checksum": ")[0-9a-f]{8}')
_ZEROS = b"0" * 8
_LENGTH_AND_MAGIC = 4 + len(b"ARROW1")
"""An Arrow file ends with the footer, its length, and the format's magic bytes."""
_REMEDY = "restore an older checkpoint"


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as a file's content; equal snapshots give equal bytes.

    >>> rows = pa.record_batch({"key.k": [1, 2]})
    >>> decode(encode(Snapshot(rows, np.array([0, 2]), {"hash_version": 1}))).rows["key.k"].to_pylist()
    [1, 2]
    """
    header = {
        "checksum": _ZEROS.decode(),
        "format_version": FORMAT_VERSION,
        "hash_version": HASH_VERSION,
        "offsets": snapshot.offsets.tolist(),
        "meta": dict(sorted(snapshot.meta.items())),
    }
    rows = snapshot.rows.replace_schema_metadata({_METADATA: json.dumps(header).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_batch(rows)
    data = bytearray(sink.getvalue())
    digits = b"%08x" % zlib.crc32(data)
    for at in _digits_at(memoryview(data)):
        data[at : at + len(digits)] = digits
    return bytes(data)


def decode(data: bytes | pa.Buffer) -> Snapshot:
    """The snapshot in a file's content, its rows without a copy out of `data`. `Fatal` if the data are damaged."""
    view = memoryview(data)
    places = _digits_at(view)
    if len(places) != 2:
        raise Fatal("the snapshot is cut short, or is none: its checksum is missing", remedy=_REMEDY)
    found = b"%08x" % _checksum(view, places)
    if any(view[at : at + len(found)] != found for at in places):
        raise Fatal(f"the snapshot is damaged: its checksum is {found.decode()}, which it does not say", remedy=_REMEDY)
    with pa.ipc.open_file(pa.py_buffer(data)) as reader:
        rows = reader.get_batch(0)
    header = json.loads(rows.schema.metadata[_METADATA])
    if header["format_version"] != FORMAT_VERSION:
        raise Fatal(
            f"the snapshot has format version {header['format_version']}, this streamflow reads {FORMAT_VERSION}",
            remedy="run it with the version of streamflow that wrote it",
        )
    if header["hash_version"] != HASH_VERSION:
        raise Fatal(
            f"the snapshot's rows are grouped by version {header['hash_version']} of the key hash, not {HASH_VERSION}",
            remedy="run it with the version of streamflow that wrote it",
        )
    offsets = np.array(header["offsets"], dtype=np.int64)
    return Snapshot(rows.replace_schema_metadata(None), offsets, header["meta"])


def _digits_at(view: memoryview) -> list[int]:
    """Where the checksum's digits stand: in the schema, which comes before all rows, and in the footer behind them."""
    footer = len(view) - _LENGTH_AND_MAGIC - int.from_bytes(view[-_LENGTH_AND_MAGIC:][:4], "little")
    found = {match.end(1) for match in (_MARK.search(view), _MARK.search(view, max(footer, 0))) if match}
    return sorted(found) if len(found) == 2 else []


def _checksum(view: memoryview, places: list[int]) -> int:
    checksum = 0
    start = 0
    for at in places:
        checksum = zlib.crc32(_ZEROS, zlib.crc32(view[start:at], checksum))
        start = at + len(_ZEROS)
    return zlib.crc32(view[start:], checksum)

"""A snapshot as one Arrow IPC file in bytes: what a checkpoint stores of a container.

Any Arrow tool reads it. The schema's metadata `streamflow.snapshot` is JSON: the versions of the format and of the key
hash (rule 19), the rows' offsets per key group and the container's own meta. In a file of what has changed, what is
gone stands in rows behind the last group: a column `~gone` is true there, `gone` in the metadata names the columns that
say what it is, and the others are null.

Whether a file is damaged is told by its size and its CRC-32, which stand in the manifest that names it: before anything
in it is believed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from streamflow.errors import Fatal
from streamflow.kernels.hashing import HASH_VERSION
from streamflow.state.container import Snapshot
from streamflow.state.store import CheckpointStore, NotFound, StateFile

FORMAT_VERSION = 2
GONE = "~gone"
_METADATA = b"streamflow.snapshot"


def write_state(store: CheckpointStore, path: str, data: bytes) -> StateFile:
    """Store an encoded snapshot. Raises what the store raises."""
    store.put(path, data)
    return StateFile(path, len(data), zlib.crc32(data))


def read_state(store: CheckpointStore, file: StateFile) -> Snapshot:
    """What was stored. `Fatal`, naming the file, where it is missing or damaged (rule 24)."""
    return decode(read_file(store, file))


def read_file(store: CheckpointStore, file: StateFile) -> bytes:
    """The same, not decoded."""
    remedy = "bring the file back, or delete the folder of checkpoints to start the job from its beginning"
    try:
        data = store.read(file.path)
    except NotFound as error:
        raise Fatal(f"{error.message}, though the job's latest checkpoint names it", remedy=remedy) from None
    if len(data) != file.size or zlib.crc32(data) != file.checksum:
        raise Fatal(f"{file.path} in {store!r} is damaged: its checksum does not fit", remedy=remedy)
    return data


def read_all(store: CheckpointStore, files: Mapping[str, Sequence[StateFile]]) -> dict[str, list[Snapshot]]:
    """The same for files by address."""
    return {address: [read_state(store, file) for file in parts] for address, parts in files.items()}


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as a file's content; equal snapshots give equal bytes.

    >>> rows = pa.record_batch({"key.k": [1, 2]})
    >>> decode(encode(Snapshot(rows, np.array([0, 2]), {"hash_version": 1}))).rows["key.k"].to_pylist()
    [1, 2]
    """
    header = {
        "format_version": FORMAT_VERSION,
        "hash_version": HASH_VERSION,
        "offsets": snapshot.offsets.tolist(),
        "gone": None if snapshot.gone is None else snapshot.gone.schema.names,
        "meta": dict(sorted(snapshot.meta.items())),
    }
    rows = snapshot.rows if snapshot.gone is None else _with_gone(snapshot.rows, snapshot.gone)
    rows = rows.replace_schema_metadata({_METADATA: json.dumps(header).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_batch(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(data: bytes | pa.Buffer) -> Snapshot:
    """The snapshot in a file's content; its rows share the memory of `data`, which is sound.

    Raises `Fatal` where it is no snapshot, or one of another version.
    """
    try:
        with pa.ipc.open_file(pa.py_buffer(data)) as reader:
            rows = reader.get_batch(0)
        header = json.loads(rows.schema.metadata[_METADATA])
    except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise Fatal(f"this is no snapshot: {error}") from error
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
    rows = rows.replace_schema_metadata(None)
    if header["gone"] is None:
        return Snapshot(rows, offsets, header["meta"])
    here = int(offsets[-1])
    names = [name for name in rows.schema.names if name != GONE]
    return Snapshot(rows.select(names).slice(0, here), offsets, header["meta"], rows.select(header["gone"]).slice(here))


def _with_gone(rows: pa.RecordBatch, gone: pa.RecordBatch) -> pa.RecordBatch:
    """The rows, and behind them what is gone."""
    columns = []
    for field in rows.schema:
        behind = gone.column(field.name) if field.name in gone.schema.names else pa.nulls(gone.num_rows, field.type)
        columns.append(pa.concat_arrays([rows.column(field.name), behind]))
    flags = np.repeat([False, True], [rows.num_rows, gone.num_rows])
    return pa.RecordBatch.from_arrays(
        [*columns, pa.array(flags)], schema=rows.schema.append(pa.field(GONE, pa.bool_()))
    )

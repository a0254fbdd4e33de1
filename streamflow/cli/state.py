"""`streamflow state`: what a job's latest checkpoint holds."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamflow.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from streamflow.cluster.manifest import Manifest
    from streamflow.state.store import CheckpointStore

SUMMARY = "look into a checkpoint"
DESCRIPTION = """\
Show what the latest checkpoint of a job holds: how far its splits were read, and the state of its steps. The job may be
running; it is not disturbed.

examples:
  streamflow state ls checkpoints                              steps, rows, bytes; positions of splits
  streamflow state show checkpoints --step counts                   the rows of a step's state
  streamflow state query checkpoints --step counts --key user=7   those of one key
  streamflow state copy checkpoints --to savepoints/before-v2     the whole of it, kept for you: a savepoint

A new job starts from a savepoint with `streamflow run --from-savepoint DIR`.

State lies in Arrow files, which any Arrow tool can read: `ls --files` names them.

exit codes:
  0  done
  1  the checkpoint is damaged or cannot be read
  2  there is no checkpoint there, or no such step, or an argument is wrong
"""
_SHOWN = 20


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("ls", "show", "query", "copy"), help="what to do, see the examples")
    parser.add_argument("folder", metavar="DIR", help="what was given to --checkpoint")
    parser.add_argument(
        "--key", metavar="COLUMN=VALUE", action="append", default=[], help="of query: a key column and its value"
    )
    parser.add_argument("--step", metavar="NAME", help="of show and query: the step, as `ls` has it")
    parser.add_argument("--rows", metavar="N", type=int, default=_SHOWN, help=f"at most so many (default: {_SHOWN})")
    parser.add_argument("--files", action="store_true", help="of ls: name the files")
    parser.add_argument("--to", metavar="DIR", help="of copy: the folder that the savepoint is to be in")


def execute(arguments: argparse.Namespace, for_script: Sequence[str]) -> int:
    from streamflow.runners.checkpoints import latest_manifest
    from streamflow.state.stores import open_store

    if "://" not in arguments.folder and not Path(arguments.folder).is_dir():
        raise UserError(f"no folder {arguments.folder!r}", remedy="give the folder that --checkpoint had")
    store = open_store(arguments.folder)
    manifest = latest_manifest(store)
    if manifest is None:
        raise UserError(
            f"{arguments.folder} holds no complete checkpoint", remedy="give the folder that --checkpoint had"
        )
    if arguments.action == "copy":
        _copy(store, manifest, arguments.to)
        return 0
    if arguments.action == "ls":
        for line in _listing(store, manifest, arguments.folder if arguments.files else None):
            print(line)
        return 0
    where = _where(arguments.key) if arguments.action == "query" else {}
    for address, rows in _state_of(store, manifest, arguments.step):
        _print_rows(address, _matching(rows, where), arguments.rows)
    return 0


def _copy(store: CheckpointStore, manifest: Manifest, folder: str | None) -> None:
    from streamflow.runners.savepoints import write_savepoint
    from streamflow.state.stores import open_store

    if folder is None:
        raise UserError("--to is missing", remedy="name the folder that the savepoint is to be in")
    if manifest.committables:
        raise UserError(
            f"what checkpoint {manifest.checkpoint} prepared is not published yet",
            remedy="copy it again in a moment; if the job does not run, let it go on and stop it with Ctrl-C",
        )
    write_savepoint(manifest, store, open_store(folder))
    print(f"{manifest.flow}: checkpoint {manifest.checkpoint} of job {manifest.job} is in {folder}")


def _listing(store: CheckpointStore, manifest: Manifest, folder: str | None) -> Iterator[str]:
    """The lines of `ls`; `folder`: where the files are that it names, None to name none."""
    ended = ", the job had come to its end" if manifest.completed else ""
    yield f"{manifest.flow}: checkpoint {manifest.checkpoint} of job {manifest.job}{ended}"
    for read, splits in manifest.splits.items():
        yield f"read {read}"
        for name, state in splits.items():
            where = "ended" if state.ended else "not started" if state.position is None else f"at {state.position}"
            yield f"  {name}: {where}, {state.rows} rows read"
    for step in _steps(manifest):
        yield f"step {step}"
        for address, parts in manifest.state.items():
            if _step_of(address) == step:
                rows = _rows(store, manifest, address).num_rows
                size = sum(part.size for part in parts)
                yield f"  {_container_of(address)}: {rows} rows, {size} bytes"
                if folder is not None:
                    yield from (f"    {folder.rstrip('/')}/{part.path}" for part in parts)


def _rows(store: CheckpointStore, manifest: Manifest, address: str) -> pa.Table:
    """The rows of a container, from all workers: what stands of its files."""
    import pyarrow as pa

    from streamflow.state.chains import resolved
    from streamflow.state.files import read_state

    parts = [read_state(store, file) for file in manifest.state[address]]
    return pa.Table.from_batches([part.rows for part in resolved(parts, range(manifest.key_groups))])


def _state_of(store: CheckpointStore, manifest: Manifest, step: str | None) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each container of a step."""
    if step not in _steps(manifest):
        known = ", ".join(map(repr, _steps(manifest))) or "none"
        said = "--step is missing" if step is None else f"the checkpoint has no state of a step {step!r}"
        raise UserError(said, remedy=f"its steps with state are {known}")
    for address in manifest.state:
        if _step_of(address) == step:
            yield address, _rows(store, manifest, address)


def _where(pairs: Sequence[str]) -> dict[str, str]:
    if not pairs:
        raise UserError("query needs a key", remedy="write --key column=value for each of its columns, as --key user=7")
    split = [pair.partition("=") for pair in pairs]
    for column, equals, _ in split:
        if not equals or not column:
            raise UserError(f"{column!r} is no key", remedy="write --key column=value, as --key user=7")
    return {column: value for column, _, value in split}


def _matching(rows: pa.Table, where: Mapping[str, str]) -> pa.Table | None:
    """The rows with these values in these key columns; None where a container has no such column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column, text in where.items():
        found = next((name for name in (f"key.{column}", column) if name in rows.column_names), None)
        if found is None:
            return None
        type_ = rows.schema.field(found).type
        try:
            value = pa.array([text]).cast(type_)[0]
        except pa.ArrowInvalid:
            raise UserError(f"{text!r} is no value of the key {column!r} of type {type_}") from None
        rows = rows.filter(pc.equal(rows[found], value))
    return rows


def _print_rows(address: str, rows: pa.Table | None, most: int) -> None:
    if rows is None:
        return
    print(f"{_container_of(address)}: {rows.num_rows} rows")
    for row in rows.slice(0, most).to_pylist():
        print("  " + ", ".join(f"{name}={value!r}" for name, value in row.items()))
    if rows.num_rows > most:
        print(f"  ... and {rows.num_rows - most} more: --rows {rows.num_rows}")


def _steps(manifest: Manifest) -> list[str]:
    return list(dict.fromkeys(_step_of(address) for address in manifest.state))


def _step_of(address: str) -> str:
    return address.rpartition("/")[0]


def _container_of(address: str) -> str:
    return address.rpartition("/")[2]

"""A savepoint: a checkpoint in a folder of its own, with all its files, kept until the user deletes it."""

from __future__ import annotations

import json
from dataclasses import replace

from streamflow.cluster.manifest import Manifest, from_json, to_json
from streamflow.errors import Fatal, UserError
from streamflow.state.files import read_file
from streamflow.state.store import CheckpointStore, NotFound, StateFile

MANIFEST = "manifest.json"
"""Written last: a folder that has it is whole."""


def write_savepoint(manifest: Manifest, store: CheckpointStore, target: CheckpointStore) -> None:
    """Copy a checkpoint that is committed everywhere. `UserError` where a savepoint stands already."""
    if _found(target) is not None:
        raise UserError(f"{target!r} holds a savepoint already", remedy="give each a folder of its own")
    for files in manifest.state.values():
        for file in files:
            target.put(file.path, read_file(store, file))
    whole = replace(manifest, committables={})
    target.put(MANIFEST, json.dumps(to_json(whole), indent=1).encode())


def read_savepoint(source: CheckpointStore) -> Manifest:
    """What a savepoint holds. `UserError` where there is none, `Fatal` where it is damaged."""
    data = _found(source)
    if data is None:
        raise UserError(f"{source!r} holds no savepoint", remedy=f"give a folder that has a {MANIFEST}")
    try:
        return from_json(json.loads(data))
    except (ValueError, AttributeError) as error:
        raise Fatal(f"{MANIFEST} in {source!r} is damaged: {error!r}") from error


def adopt_savepoint(source: CheckpointStore, store: CheckpointStore, *, job: str, attempt: int) -> Manifest:
    """Bring a savepoint's files into the store of a new job; what that job goes on from (rule 23)."""
    found = read_savepoint(source)
    state: dict[str, list[StateFile]] = {}
    number = 0
    for address, files in found.state.items():
        for file in files:
            path = f"state/{attempt}-0-{number}.arrow"
            store.put(path, read_file(source, file))
            state.setdefault(address, []).append(replace(file, path=path))
            number += 1
    return replace(adopted(found), job=job, state=state)


def adopted(savepoint: Manifest) -> Manifest:
    """What a savepoint is to a new job: also where the old one had ended with it, there is something to go on with."""
    return replace(savepoint, final=False, completed=False)


def _found(store: CheckpointStore) -> bytes | None:
    try:
        return store.read(MANIFEST)
    except NotFound:
        return None

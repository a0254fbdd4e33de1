"""A checkpoint store in memory, for tests."""

from __future__ import annotations

from streamflow.state.store import AlreadyExists, NotFound, checked_path


class MemoryStore:
    """`streamflow.state.store.CheckpointStore` that forgets everything with the process.

    >>> store = MemoryStore()
    >>> store.put("a/b", b"1")
    >>> store.list("a"), store.read("a/b")
    (['a/b'], b'1')
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        try:
            return self.files[checked_path(path)]
        except KeyError:
            raise NotFound(f"{path} is not in the store") from None

    def put(self, path: str, data: bytes) -> None:
        self.files[checked_path(path)] = bytes(data)

    def create(self, path: str, data: bytes) -> None:
        if self.files.setdefault(checked_path(path), data) is not data:
            raise AlreadyExists(f"{path} stands already")

    def delete(self, path: str) -> None:
        self.files.pop(checked_path(path), None)

    def list(self, folder: str) -> list[str]:
        return sorted(path for path in self.files if path.startswith(f"{checked_path(folder)}/"))

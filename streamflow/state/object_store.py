"""A checkpoint store in a bucket of an object store, through obstore (the extra `s3`).

What a put has answered is durable there, and a reader sees it whole or not at all. `create` is a conditional put, which
S3 and those that speak its language refuse where the key is taken; one that does not is found out when the job starts
(`require_fence`). An answer that was lost is settled by who reads the key (rule 22).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from streamflow.errors import Fatal, Retryable, UserError
from streamflow.state.store import AlreadyExists, NotFound, checked_path

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Bucket

_TIMEOUT = timedelta(seconds=30)
_RETRIES = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


class ObjectStore:
    """`CheckpointStore` in a bucket. `shown`: how the user called it.

    >>> from obstore.store import MemoryStore
    >>> store = ObjectStore(MemoryStore(), "memory")
    >>> store.create("log/1", b"claim")
    >>> store.create("log/1", b"another")
    Traceback (most recent call last):
    ...
    streamflow.state.store.AlreadyExists: log/1 stands already
    >>> store.read("log/1"), store.list("log")
    (b'claim', ['log/1'])
    """

    def __init__(self, bucket: Bucket, shown: str) -> None:
        self._bucket = bucket
        self._shown = shown

    def __repr__(self) -> str:
        return f"ObjectStore({self._shown!r})"

    def read(self, path: str) -> bytes:
        with self._explained(path, "read"):
            return bytes(self._bucket.get(checked_path(path)).bytes())

    def put(self, path: str, data: bytes) -> None:
        with self._explained(path, "written"):
            self._bucket.put(checked_path(path), data)

    def create(self, path: str, data: bytes) -> None:
        with self._explained(path, "created"):
            self._bucket.put(checked_path(path), data, mode="create", use_multipart=False)

    def delete(self, path: str) -> None:
        try:
            with self._explained(path, "deleted"):
                self._bucket.delete(checked_path(path))
        except NotFound:
            pass

    def list(self, folder: str) -> list[str]:
        with self._explained(folder, "listed"):
            return sorted(one["path"] for page in self._bucket.list(f"{checked_path(folder)}/") for one in page)

    @contextmanager
    def _explained(self, path: str, verb: str) -> Iterator[None]:
        from obstore import exceptions

        where = f"the checkpoint store {self._shown}"
        try:
            yield
        except exceptions.AlreadyExistsError:
            raise AlreadyExists(f"{path} stands already") from None
        except (exceptions.BaseError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise Fatal(f"there is no bucket for {where}", remedy="make it, or correct its name") from error
            if isinstance(error, (exceptions.NotFoundError, FileNotFoundError)):
                raise NotFound(f"{path} is not in {where}") from None
            text = f"{path} cannot be {verb} in {where}: {_first_line(error)}"
            if isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)):
                remedy = "give the job credentials that may read, write, list and delete there"
                raise Fatal(text, remedy=remedy) from error
            raise Retryable(text) from error


def open_bucket(location: str) -> ObjectStore:
    """The store at "s3://bucket/prefix". Credentials, region and endpoint come from the environment, as AWS's tools
    take them (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...). UserError without obstore, or where the location is no bucket.
    """
    try:
        from obstore.store import from_url
    except ImportError:
        raise UserError(
            f"checkpoints in {location} need the package obstore", remedy="pip install 'streamflow-py[s3]'"
        ) from None
    options: dict[str, Any] = {"timeout": _TIMEOUT, "connect_timeout": timedelta(seconds=5), "allow_http": True}
    try:
        bucket = from_url(location, client_options=options, retry_config=_RETRIES)  # type: ignore[call-overload]
    except Exception as error:
        raise UserError(f"{location} is no place for checkpoints: {_first_line(error)}") from error
    return ObjectStore(bucket, location)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

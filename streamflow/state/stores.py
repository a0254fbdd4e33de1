"""Which checkpoint store a location means."""

from __future__ import annotations

from streamflow.errors import UserError
from streamflow.state.local_store import LocalStore
from streamflow.state.store import CheckpointStore

BUCKETS = ("s3", "gs", "az")


def check_location(location: str) -> None:
    """UserError where no store can be meant. Nothing is opened.

    >>> check_location("ftp://host/checkpoints")
    Traceback (most recent call last):
    ...
    streamflow.errors.UserError: checkpoints cannot be kept at 'ftp://host/checkpoints'
      remedy: give a local or mounted folder, or s3://BUCKET/PREFIX
    """
    scheme, found, rest = location.partition("://")
    if (found and (scheme not in BUCKETS or not rest)) or not location:
        raise UserError(
            f"checkpoints cannot be kept at {location!r}",
            remedy="give a local or mounted folder, or s3://BUCKET/PREFIX",
        )


def open_store(location: str) -> CheckpointStore:
    """The store in a folder, or in a bucket."""
    check_location(location)
    if "://" not in location:
        return LocalStore(location)
    from streamflow.state.object_store import open_bucket

    return open_bucket(location)

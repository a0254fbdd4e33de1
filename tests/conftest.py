"""Fixtures of real services: see `tests/services`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services import minio as minio_service


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[minio_service.MinIO]:
    with minio_service.started(tmp_path_factory.mktemp("minio")) as server:
        yield server

"""Install every service that is not there yet."""

from tests.services import minio

if __name__ == "__main__":
    minio.install()

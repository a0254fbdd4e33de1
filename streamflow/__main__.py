"""`python -m streamflow` is the `streamflow` command."""

from __future__ import annotations

import sys

from streamflow.cli import main

if __name__ == "__main__":
    sys.exit(main())

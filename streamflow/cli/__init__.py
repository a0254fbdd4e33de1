"""The `streamflow` command. Each subcommand is a module here; what it needs is imported when it runs."""

from __future__ import annotations

from streamflow.cli.command import main

__all__ = ["main"]

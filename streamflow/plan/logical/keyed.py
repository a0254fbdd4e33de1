"""A keyed function as a term: what it keeps, what it takes, what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from streamflow.kernels.rows import from_python
from streamflow.plan.logical.rows import Record, Shape
from streamflow.plan.logical.terms import RowFunction
from streamflow.state.cells import Alarm, Cell, ListCell, MapCell, Timer, ValueCell
from streamflow.state.expiring import ExpiringCell, ExpiringListCell, ExpiringMapCell
from streamflow.state.keyed_kind import Keyed

__all__ = [
    "Alarm",
    "Cell",
    "ExpiringCell",
    "ExpiringListCell",
    "ExpiringMapCell",
    "Keyed",
    "KeyedCalls",
    "ListCell",
    "MapCell",
    "Timer",
    "ValueCell",
    "check_value",
]


@dataclass(frozen=True, slots=True)
class KeyedCalls:
    """`prototype`: the object that the user made; the functions are those of its class, called with an object per key.

    `timers`: the name of each and the function that runs when it goes off, whose parameters are keys, or `_time`; so
    are `clock_timers`, which go by processing time.
    `state`: name and type of each cell and timer. All functions give `record`, or nothing.
    """

    prototype: object
    on_row: RowFunction
    timers: tuple[tuple[str, RowFunction], ...]
    record: Record
    state: pa.Schema
    cells: tuple[Cell, ...] = field(compare=False)
    clock_timers: tuple[tuple[str, RowFunction], ...] = ()

    @property
    def name(self) -> str:
        return type(self.prototype).__name__

    @property
    def expires(self) -> bool:
        """Whether a cell has a time to live."""
        return any(cell.expires for cell in self.cells)


def check_value(value: object, shape: Shape) -> None:
    """Raise ValueError or OverflowError unless the value is of the shape."""
    from_python([value], shape)

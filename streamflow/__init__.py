"""A stream processor for Python: event time, exact results, batches of Arrow columns.

>>> import streamflow as sf
>>> flow = sf.Flow("hot-items")

Names are imported when they are first used, so that `import streamflow` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamflow import testing as testing
    from streamflow.flow.declared import fn as fn
    from streamflow.flow.expr import Expr as Expr
    from streamflow.flow.expr import col as col
    from streamflow.flow.expr import from_epoch as from_epoch
    from streamflow.flow.expr import lit as lit
    from streamflow.flow.expr import when as when
    from streamflow.flow.expr_aggregates import aggregate as aggregate
    from streamflow.flow.expr_aggregates import count as count
    from streamflow.flow.expr_functions import coalesce as coalesce
    from streamflow.flow.expr_functions import concat_str as concat_str
    from streamflow.flow.expr_functions import max_horizontal as max_horizontal
    from streamflow.flow.expr_functions import min_horizontal as min_horizontal
    from streamflow.flow.expr_functions import struct as struct
    from streamflow.flow.flow import Flow as Flow
    from streamflow.flow.grouped import KeyedStream as KeyedStream
    from streamflow.flow.grouped import WindowedStream as WindowedStream
    from streamflow.flow.keyed_function import KeyedFunction as KeyedFunction
    from streamflow.flow.keyed_function import cell as cell
    from streamflow.flow.keyed_function import list_cell as list_cell
    from streamflow.flow.keyed_function import map_cell as map_cell
    from streamflow.flow.keyed_function import timer as timer
    from streamflow.flow.stream import Stream as Stream
    from streamflow.flow.windows import bounded_out_of_orderness as bounded_out_of_orderness
    from streamflow.flow.windows import count_window as count_window
    from streamflow.flow.windows import cumulative as cumulative
    from streamflow.flow.windows import global_window as global_window
    from streamflow.flow.windows import monotonic as monotonic
    from streamflow.flow.windows import session as session
    from streamflow.flow.windows import sliding as sliding
    from streamflow.flow.windows import trigger as trigger
    from streamflow.flow.windows import tumbling as tumbling
    from streamflow.flow.windows import watermark_by as watermark_by
    from streamflow.flow.windows import watermark_from as watermark_from
    from streamflow.plan.logical.contract import Aggregator as Aggregator
    from streamflow.plan.logical.windows import WatermarkGenerator as WatermarkGenerator
    from streamflow.runners.checkpoints import Checkpoints as Checkpoints
    from streamflow.runners.run import main as main
    from streamflow.runners.run import run as run
    from streamflow.runners.sockets import Tcp as Tcp

__version__ = "0.1.0"

_HOMES = {
    "Aggregator": "streamflow.plan.logical.contract",
    "Checkpoints": "streamflow.runners.checkpoints",
    "Expr": "streamflow.flow.expr",
    "Flow": "streamflow.flow.flow",
    "KeyedFunction": "streamflow.flow.keyed_function",
    "KeyedStream": "streamflow.flow.grouped",
    "Stream": "streamflow.flow.stream",
    "Tcp": "streamflow.runners.sockets",
    "WatermarkGenerator": "streamflow.plan.logical.windows",
    "WindowedStream": "streamflow.flow.grouped",
    "aggregate": "streamflow.flow.expr_aggregates",
    "bounded_out_of_orderness": "streamflow.flow.windows",
    "cell": "streamflow.flow.keyed_function",
    "coalesce": "streamflow.flow.expr_functions",
    "col": "streamflow.flow.expr",
    "concat_str": "streamflow.flow.expr_functions",
    "count": "streamflow.flow.expr_aggregates",
    "count_window": "streamflow.flow.windows",
    "cumulative": "streamflow.flow.windows",
    "fn": "streamflow.flow.declared",
    "from_epoch": "streamflow.flow.expr",
    "global_window": "streamflow.flow.windows",
    "list_cell": "streamflow.flow.keyed_function",
    "lit": "streamflow.flow.expr",
    "main": "streamflow.runners.run",
    "map_cell": "streamflow.flow.keyed_function",
    "max_horizontal": "streamflow.flow.expr_functions",
    "min_horizontal": "streamflow.flow.expr_functions",
    "monotonic": "streamflow.flow.windows",
    "run": "streamflow.runners.run",
    "session": "streamflow.flow.windows",
    "sliding": "streamflow.flow.windows",
    "struct": "streamflow.flow.expr_functions",
    "timer": "streamflow.flow.keyed_function",
    "trigger": "streamflow.flow.windows",
    "tumbling": "streamflow.flow.windows",
    "watermark_by": "streamflow.flow.windows",
    "watermark_from": "streamflow.flow.windows",
    "when": "streamflow.flow.expr",
}

__all__ = [
    "Aggregator",
    "Checkpoints",
    "Expr",
    "Flow",
    "KeyedFunction",
    "KeyedStream",
    "Stream",
    "Tcp",
    "WatermarkGenerator",
    "WindowedStream",
    "aggregate",
    "bounded_out_of_orderness",
    "cell",
    "coalesce",
    "col",
    "concat_str",
    "count",
    "count_window",
    "cumulative",
    "fn",
    "from_epoch",
    "global_window",
    "list_cell",
    "lit",
    "main",
    "map_cell",
    "max_horizontal",
    "min_horizontal",
    "monotonic",
    "run",
    "session",
    "sliding",
    "struct",
    "testing",
    "timer",
    "trigger",
    "tumbling",
    "watermark_by",
    "watermark_from",
    "when",
]


def __getattr__(name: str) -> Any:
    if name == "testing":
        return import_module("streamflow.testing")
    if name not in _HOMES:
        raise AttributeError(f"module 'streamflow' has no attribute {name!r}{_instead(name)}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def _instead(name: str) -> str:
    """What to write for a name that is not there; nothing for names that Python itself asks for."""
    if name.startswith("_"):
        return ""
    from difflib import get_close_matches

    from streamflow.flow.instead import LATER, MODULE

    if name in MODULE:
        return f": {MODULE[name]}"
    if name in LATER:
        return f": it is not in this version{LATER[name] and '; '}{LATER[name]}"
    close = get_close_matches(name, __all__, n=1)
    return f"; did you mean sf.{close[0]}?" if close else ""


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "errors"])

"""In which form a function of `map_batches` takes its batches."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from streamflow.errors import UserError
from streamflow.plan.logical.nodes import BatchForm

_FORMS: dict[str, BatchForm] = {
    "RecordBatch": "arrow",
    "pyarrow.RecordBatch": "arrow",
    "pa.RecordBatch": "arrow",
    "polars.DataFrame": "polars",
    "pl.DataFrame": "polars",
    "pandas.DataFrame": "pandas",
    "pd.DataFrame": "pandas",
}


def batch_form(function: Callable[..., Any]) -> BatchForm:
    """What the annotation of its first parameter names; without one Arrow's. Neither library is imported for it.

    >>> def clean(batch: "pl.DataFrame"): ...
    >>> batch_form(clean), batch_form(lambda batch: batch)
    ('polars', 'arrow')
    """
    annotation = _annotation(function)
    if annotation in (None, inspect.Parameter.empty, Any):
        return "arrow"
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        text = f"{annotation.__module__.partition('.')[0]}.{annotation.__name__}"
    else:
        text = str(annotation).strip("'\"")
    if text.startswith("dict[str,"):
        return "numpy"
    if text not in _FORMS:
        raise UserError(
            f"map_batches has no {text} to give",
            remedy="annotate it as pa.RecordBatch, pl.DataFrame, pd.DataFrame or dict[str, np.ndarray]",
        )
    return _FORMS[text]


def _annotation(function: Callable[..., Any]) -> Any:
    """That of the first parameter; as text where its name is only known to type checkers."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (ValueError, TypeError):
        return None
    if first is None or not isinstance(first.annotation, str):
        return None if first is None else first.annotation
    try:
        return typing.get_type_hints(function)[first.name]
    except (NameError, TypeError, KeyError, AttributeError):
        return first.annotation

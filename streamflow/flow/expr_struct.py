"""`.struct`: the fields of a record that stands in a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from streamflow.flow.expr import Expr, no_such_method
from streamflow.flow.instead_expr import STRUCT


class Struct:
    __slots__ = ("_expr",)

    def __init__(self, expr: Expr) -> None:
        self._expr = expr

    def field(self, name: str) -> Expr:
        """One field, null where the record is.

        >>> evaluate(col("place").struct.field("city"), place=[{"city": "Rome"}, None])
        ['Rome', None]
        >>> from streamflow.flow.expr import output_name
        >>> col("place").struct.field("city")
        (col('place').struct.field('city')).alias('city')
        >>> output_name(col("place").struct.field("city"))
        'city'
        """
        return self._expr._call("struct.field", name=name).alias(name)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method(".struct", Struct, name, STRUCT)

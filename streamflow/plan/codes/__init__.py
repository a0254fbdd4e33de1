"""Compiled terms, and how each function of an expression is compiled.

A `Code` computes one column of a batch, either as numbers (`kernels.compute`) or as an Arrow array; the other form is
made of it by a conversion that is chosen here, once. Everything that a function decides by types or options is decided
here too: what runs is a closure over kernels. A table for each family of functions, all together in `COMPILERS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.plan.codes.code import Code, Compile, Run, array_of, column, constant, from_arrow, from_numbers
from streamflow.plan.codes.convert import convert, predicate_of
from streamflow.plan.codes.nested import NESTED
from streamflow.plan.codes.numbers import NUMBERS
from streamflow.plan.codes.text import TEXT
from streamflow.plan.codes.times import TIMES

COMPILERS: Mapping[str, Compile] = {**NUMBERS, **TEXT, **TIMES, **NESTED}

__all__ = [
    "COMPILERS",
    "Code",
    "Run",
    "array_of",
    "column",
    "constant",
    "convert",
    "from_arrow",
    "from_numbers",
    "predicate_of",
]

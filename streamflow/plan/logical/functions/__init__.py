"""What each function of `terms.Call` takes and gives.

A signature looks at its operands and answers with the types they must be brought to and the type of the result: a
table for each family of functions, all of them together in `SIGNATURES`.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.plan.logical.functions.nested import NESTED
from streamflow.plan.logical.functions.numbers import NUMBERS
from streamflow.plan.logical.functions.text import TEXT
from streamflow.plan.logical.functions.times import TIMES
from streamflow.plan.logical.functions.types import BOOL, INT64, Operand, Signature, common, natural_type

SIGNATURES: Mapping[str, Signature] = {**NUMBERS, **TEXT, **TIMES, **NESTED}

__all__ = ["BOOL", "INT64", "SIGNATURES", "Operand", "common", "natural_type"]

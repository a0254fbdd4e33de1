"""What users of polars would write is there, or its name says what to write."""

from __future__ import annotations

import inspect
import re
from typing import Any

import polars as pl
import pytest

import streamflow as sf
from streamflow import col
from streamflow.errors import UserError
from streamflow.flow.expr import NoSuchMethod
from streamflow.flow.instead_expr import EXPR, LISTS, STRUCT, TEXT, TIME

THEIRS, OURS = pl.col("a"), col("a")
SPACES: dict[str, tuple[Any, Any, Any]] = {
    "expression": (THEIRS, OURS, EXPR),
    "str": (THEIRS.str, OURS.str, TEXT),
    "dt": (THEIRS.dt, OURS.dt, TIME),
    "list": (THEIRS.list, OURS.list, LISTS),
    "struct": (THEIRS.struct, OURS.struct, STRUCT),
}


def public(thing: Any) -> list[str]:
    return [name for name in dir(type(thing)) if not name.startswith("_")]


@pytest.mark.parametrize("space", list(SPACES))
def test_every_word_of_polars_is_there_or_says_what_to_write(space: str) -> None:
    theirs, ours, _ = SPACES[space]
    silent = []
    for word in public(theirs):
        try:
            getattr(ours, word)
        except NoSuchMethod as error:
            if not error.remedy or error.remedy.startswith("did you mean"):
                silent.append(word)
    assert not silent


@pytest.mark.parametrize("space", list(SPACES))
def test_a_word_stands_for_something_else_only_if_it_is_not_there(space: str) -> None:
    _, ours, words = SPACES[space]
    assert not [word for word in words if word in public(ours)]


@pytest.mark.parametrize("space", list(SPACES))
def test_what_to_write_exists(space: str) -> None:
    known = {
        name
        for thing in (OURS, OURS.str, OURS.dt, OURS.list, OURS.struct, sf.Stream, sf.KeyedStream, sf.WindowedStream, sf)
        for name in dir(thing if inspect.isclass(thing) or inspect.ismodule(thing) else type(thing))
    }
    known |= {"otherwise", "then", "decimal128", "dumps", "join"}
    for remedy in SPACES[space][2].values():
        for word in re.findall(r"\.([a-z_]+)\(", remedy):
            assert word in known, remedy


def test_powers_are_not_written_as_in_other_languages() -> None:
    with pytest.raises(UserError, match=r"a \*\* b"):
        _ = OURS ^ 2

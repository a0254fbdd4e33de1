"""Calls that do not fit: the error names the argument, the user's line and what to write."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from streamflow_connectors import memory

import streamflow as sf
from streamflow import col
from streamflow.errors import UserError
from streamflow.flow.calls import WrongCall, explained

CALLS: list[tuple[Callable[[Any], object], str, str]] = [
    (lambda s: s.rename(fare="net"), "keyword argument 'fare'", 'rename({"old": "new"})'),
    (lambda s: s.filter(fare=1), "keyword argument 'fare'", "filter(col('x') == 1)"),
    (lambda s: s.write(memory.Sink()), "'sink'", 'write("out"'),
    (lambda s: s.window(sf.tumbling("1h")).top(3, "fare"), "positional argument", "by="),
    (lambda s: sf.sliding("10s", "2s"), "positional argument", 'sf.sliding("10s", every="2s")'),  # type: ignore[call-arg]
]

KEYWORDS: list[tuple[Callable[[Any], object], str]] = [
    (lambda s: s.step("rows", ttl="7d"), "step has no ttl="),
]


@pytest.mark.parametrize(("call", "message", "remedy"), CALLS)
def test_a_wrong_call_says_how_it_is_called(
    rides: sf.Stream, call: Callable[[Any], object], message: str, remedy: str
) -> None:
    with pytest.raises(WrongCall) as error:
        call(rides)
    assert message in error.value.message
    assert remedy in (error.value.remedy or "")
    assert error.value.location is not None
    assert error.value.location.file == __file__
    assert isinstance(error.value, TypeError)


@pytest.mark.parametrize(("call", "message"), KEYWORDS)
def test_a_keyword_of_a_later_version_says_so(rides: sf.Stream, call: Callable[[Any], object], message: str) -> None:
    with pytest.raises(WrongCall) as error:
        call(rides)
    assert error.value.message == f"{message} in this version"


def test_signatures_stay_as_they_are_written() -> None:
    assert list(inspect.signature(sf.Stream.rename).parameters) == ["self", "names"]
    assert list(inspect.signature(sf.sliding).parameters) == ["size", "every", "offset", "time"]
    assert sf.Stream.rename.__doc__ is not None
    assert sf.Stream.rename.__module__ == "streamflow.flow.stream"


def test_a_type_error_out_of_the_function_passes_through() -> None:
    @explained
    def broken(value: Any) -> str:
        return str(value + 1)

    with pytest.raises(TypeError, match="concatenate") as error:
        broken("x")
    assert not isinstance(error.value, WrongCall)


def test_streams_are_no_tables(rides: sf.Stream) -> None:
    stream: Any = rides
    with pytest.raises(UserError, match=r"(?s)cannot be indexed.*\.select\('fare'\).*col\('fare'\)"):
        stream["fare"]
    with pytest.raises(UserError, match=r"(?s)no rows while it is built.*memory\.Sink"):
        list(stream)


def test_a_finished_flow_takes_no_parameters(flow: sf.Flow, rides: sf.Stream) -> None:
    rides.filter(col("fare") > 1).write("out", memory.Sink())
    with pytest.raises(UserError, match="a finished Flow takes no parameters"):
        sf.run(flow, n=1)


def test_a_build_functions_own_parameter_is_its_own() -> None:
    def build(concurrency: str = "none") -> sf.Flow:
        assert concurrency == "many"
        raise UserError("the flow is built")

    with pytest.raises(UserError, match="the flow is built"):
        sf.run(build, concurrency="many")

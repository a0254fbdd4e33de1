"""What a worker and its coordinator say survives the way through JSON, and nothing else gets through."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.engine.control import (
    Acknowledged,
    Completed,
    ControlError,
    Declined,
    Deploy,
    Deployed,
    Drain,
    Failed,
    Finish,
    Finished,
    Joined,
    Message,
    ReadEnded,
    Renewed,
    Report,
    Trigger,
    decode,
    encode,
)
from streamflow.engine.split_state import SplitState
from streamflow.engine.split_time import SplitTime
from streamflow.errors import Location, StepError
from streamflow.operators.events import Barrier
from streamflow.state.store import NotFound, StateFile

SPLITS = {"bids": {"a.parquet": SplitState("row 7", {"bids": SplitTime(5, 4, None)}, ended=True, number=3, rows=8)}}
FILES = {"counts/slices": [StateFile("state/1-2-0.arrow", 100, 17)]}

MESSAGES: list[Message] = [
    Deploy(attempt=2, job="j", splits=SPLITS, known=SPLITS, state=FILES, complete=4, peers={0: "/a", 1: "/b"}),
    Trigger(Barrier(5, final=True)),
    Completed(5),
    Finish(),
    Drain(),
    Renewed(),
    Joined("abc", "/tmp/0"),
    Deployed(),
    ReadEnded("bids"),
    Acknowledged(5, FILES, SPLITS, {"out": [{"id": "x", "size": 3}]}),
    Declined(5, "no room"),
    Finished(),
    Report(
        turns=3,
        where="map at x.py:3",
        rows_in=7,
        dead={"map": 1},
        watermark=None,
        greatest=5,
        held_by="bids/3",
        waiting=["bids/1"],
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_the_same_after_the_way_through_json(message: Message) -> None:
    assert decode(encode(message)) == message


def test_an_error_keeps_its_step_its_line_and_its_remedy() -> None:
    error = StepError("boom", step="map", location=Location("x.py", 3, "s.map(f)"), remedy="mend f")
    found = decode(encode(Failed(error)))
    assert isinstance(found, Failed)
    assert type(found.error) is StepError
    assert str(found.error) == str(error)


def test_an_error_of_a_kind_that_only_its_module_knows_comes_as_the_kind_that_it_is_one_of() -> None:
    found = decode(encode(Failed(NotFound("gone"))))
    assert isinstance(found, Failed)
    assert type(found.error).__name__ == "Fatal"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_json_that_is_no_message_is_refused(found: object) -> None:
    with pytest.raises(ControlError):
        decode(json.dumps(found).encode())


@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_with_a_value_of_another_kind_is_refused_or_read(message: Message, data: st.DataObject) -> None:
    found = json.loads(encode(message))
    name = data.draw(st.sampled_from(sorted(found)))
    found[name] = data.draw(st.none() | st.text() | st.integers() | st.lists(st.integers()))
    with contextlib.suppress(ControlError):
        decode(json.dumps(found).encode())


@given(st.binary())
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(ControlError):
        decode(data)

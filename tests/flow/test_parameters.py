from __future__ import annotations

import pytest

from streamflow.errors import UserError
from streamflow.flow.parameters import check_arguments, describe, parse_arguments


def build(
    brokers: str = "localhost:9092", max_rows: int = 10, rate: float = 0.5, dry: bool = False, key: str | None = None
) -> None:
    """Counts things."""


def needs(path: str, limit: int | None) -> None: ...


def test_every_plain_parameter_is_an_argument() -> None:
    argv = ["--brokers", "b:9092", "--max-rows", "5", "--rate", "2", "--dry", "--key", "k"]
    assert parse_arguments(build, argv) == {"brokers": "b:9092", "max_rows": 5, "rate": 2.0, "dry": True, "key": "k"}


def test_what_is_not_given_keeps_its_default() -> None:
    assert parse_arguments(build, []) == {}
    assert parse_arguments(build, ["--no-dry"]) == {"dry": False}


def test_two_dashes_before_the_arguments_mean_nothing() -> None:
    assert parse_arguments(build, ["--", "--max-rows", "5"]) == {"max_rows": 5}
    assert parse_arguments(build, ["--"]) == {}


def test_a_parameter_without_a_default_is_required() -> None:
    with pytest.raises(UserError, match="required: --path, --limit"):
        parse_arguments(needs, [])
    assert parse_arguments(needs, ["--path", "x", "--limit", "3"]) == {"path": "x", "limit": 3}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--max-rows", "many"], "argument --max-rows: invalid int value: 'many'"),
        (["--broker", "b"], "unrecognized arguments: --broker b"),
        (["x"], "unrecognized arguments: x"),
    ],
)
def test_a_wrong_argument_is_an_error_that_shows_the_usage(argv: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_arguments(build, argv, prog="streamflow run x.py --")
    assert error.value.message == message
    assert error.value.remedy is not None
    assert error.value.remedy.startswith("usage: streamflow run x.py -- ")


def test_help_shows_the_docstring_and_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(build, ["--help"])
    shown = capsys.readouterr().out
    assert "Counts things." in shown
    assert "default: localhost:9092" in shown


def test_a_type_that_an_argument_cannot_have_names_the_parameter() -> None:
    def lists(paths: list[str]) -> None: ...

    with pytest.raises(UserError, match="lists: parameter 'paths' has the type list"):
        describe(lists)

    def untyped(path) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(UserError, match="untyped: parameter 'path' has no type"):
        describe(untyped)

    def many(*paths: str) -> None: ...

    with pytest.raises(UserError, match="cannot be set by name"):
        describe(many)


def test_arguments_of_a_call_are_checked_too() -> None:
    assert check_arguments(build, {"rate": 2, "key": None}) == {"rate": 2.0, "key": None}
    with pytest.raises(UserError, match="no parameter 'broker'"):
        check_arguments(build, {"broker": "b"})
    with pytest.raises(UserError, match="'max_rows' is an int, not True"):
        check_arguments(build, {"max_rows": True})
    with pytest.raises(UserError, match="'path' has no default and no value"):
        check_arguments(needs, {"limit": None})

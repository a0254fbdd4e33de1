"""Aggregates of the user's own: what they give is checked at every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamflow.kernels.aggregate import AggregateSpec


class Covariance:
    """Sums of x, y, x * y and the number of rows: over two columns without nulls."""

    partials = {name: pa.float64() for name in ("x", "y", "xy", "n")}  # noqa: RUF012
    result = pa.float64()

    def partial(self, ids: Any, count: int, x: pa.Array, y: pa.Array) -> dict[str, Any]:
        a, b = x.to_numpy(), y.to_numpy()
        weights = {"x": a, "y": b, "xy": a * b, "n": np.ones(len(a))}
        return {name: np.bincount(ids, weights=some, minlength=count) for name, some in weights.items()}

    def merge(self, ids: Any, count: int, partials: dict[str, pa.Array]) -> dict[str, Any]:
        return {name: np.bincount(ids, part.to_numpy(), minlength=count) for name, part in partials.items()}

    def finish(self, partials: dict[str, pa.Array]) -> Any:
        x, y, xy, n = (part.to_numpy() for part in partials.values())
        return pa.array(xy / np.maximum(n, 1) - x * y / np.maximum(n, 1) ** 2, mask=n == 0)


def own(custom: Any, filter: str | None = None) -> AggregateSpec:  # noqa: A002
    more = (("y", pa.float64()),)
    return AggregateSpec("custom", "x", pa.float64(), "r", more=more, filter=filter, custom=custom)


COLUMNS = {"x": pa.array([1.0, 2.0, 3.0, 9.0]), "y": pa.array([2.0, 4.0, 6.0, 0.0])}


def test_it_takes_several_columns_in_any_cuts(in_pieces: Any) -> None:
    assert in_pieces(own(Covariance()), [1, 1, 1, 2], COLUMNS, [1, 2])[1] == pytest.approx(4 / 3)


def test_rows_that_a_filter_leaves_out_are_never_seen_and_a_group_may_have_none(in_pieces: Any) -> None:
    columns = {**COLUMNS, "ok": pa.array([True, None, True, False])}
    assert in_pieces(own(Covariance(), filter="ok"), [1, 1, 1, 2], columns, [2]) == {1: pytest.approx(2.0), 2: None}


def test_what_does_not_fit_what_was_declared_is_refused_in_words(in_pieces: Any) -> None:
    class Short(Covariance):
        def merge(self, ids: Any, count: int, partials: dict[str, pa.Array]) -> dict[str, Any]:
            return {name: np.zeros(count + 1) for name in partials}

    class Other(Covariance):
        def partial(self, ids: Any, count: int, x: pa.Array, y: pa.Array) -> dict[str, Any]:
            return {"total": np.zeros(count)}

    class Words(Covariance):
        def finish(self, partials: dict[str, pa.Array]) -> Any:
            return pa.array(["many"] * len(partials["x"]))

    for custom, words in (
        (Short(), r"Short.merge\(\)\['x'\] has 3 entries for 2 groups"),
        (Other(), r"Other.partial\(\) gave total for the partials x, y, xy, n"),
        (Words(), r"Words.finish\(\) is not of type double"),
    ):
        with pytest.raises(ValueError, match=words):
            in_pieces(own(custom), [1, 1, 1, 2], COLUMNS, [1])

"""The events of the Nexmark benchmark, made on the fly: an online auction's persons, auctions and bids.

Fields, proportions (of 50 events 1 person, 3 auctions, 46 bids) and hot spots are those of Apache Beam's generator,
which nexmark-flink uses too. Every value is a function of the seed and the event's number, so rows do not depend on how
they are cut into batches, on the number of splits, or on which columns are read.

>>> source = Source("bids", events=100, seed=7)
>>> source.row_count()
92
>>> reader = source.project(["auction", "date_time"]).open({"0": None})
>>> [(split, batch)] = reader.poll(2)
>>> batch.to_pydict()["date_time"][1].isoformat()
'2015-07-15T00:00:00.000500+00:00'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from streamflow.connect import (
    Position,
    UserError,
    parse_duration,
    set_fields,
    with_fields,
)
from streamflow_connectors._nexmark_values import CHANNELS as _CHANNELS
from streamflow_connectors._nexmark_values import HOT_CHANNELS as _HOT_CHANNELS
from streamflow_connectors._nexmark_values import channels
from streamflow_connectors._numbered import NumberedReader, strides
from streamflow_connectors._random import Ints, Words, join_text, random_digits, random_text, random_words

if TYPE_CHECKING:
    import numpy.typing as npt

Table: TypeAlias = Literal["bids", "auctions", "persons"]

FIRST_TIME = 1_436_918_400_000_000
"""Event time of event 0 in microseconds: 2015-07-15T00:00:00Z."""
FIRST_ID = 1000
"""The smallest auction id and person id."""

_RUN = 50
"""Events in which each kind has its share once."""
_PERSONS, _AUCTIONS, _BIDS = 1, 3, 46
_LEAD = 10
"""So many ids ahead of the newest may be named: an event may refer to one that comes a little later."""
_HOT = 100
"""One id in so many is a hot one."""
_HOT_AUCTION_RATIO, _HOT_BIDDER_RATIO, _HOT_SELLER_RATIO, _HOT_CHANNELS_RATIO = 2, 4, 4, 2
_IN_FLIGHT_AUCTIONS = 100
_ACTIVE_PERSONS = 1000
_FIRST_CATEGORY, _CATEGORIES = 10, 5
_FIRST_NAMES = ("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Walter")
_LAST_NAMES = ("Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris")
_CITIES = (
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
)
_STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")

_TIME = pa.timestamp("us", "UTC")
_SCHEMAS: Mapping[str, pa.Schema] = {
    "bids": pa.schema(
        [
            ("auction", pa.int64()),
            ("bidder", pa.int64()),
            ("price", pa.int64()),
            ("channel", pa.string()),
            ("url", pa.string()),
            ("date_time", _TIME),
            ("extra", pa.string()),
        ]
    ),
    "auctions": pa.schema(
        [
            ("id", pa.int64()),
            ("item_name", pa.string()),
            ("description", pa.string()),
            ("initial_bid", pa.int64()),
            ("reserve", pa.int64()),
            ("date_time", _TIME),
            ("expires", _TIME),
            ("seller", pa.int64()),
            ("category", pa.int64()),
            ("extra", pa.string()),
        ]
    ),
    "persons": pa.schema(
        [
            ("id", pa.int64()),
            ("name", pa.string()),
            ("email_address", pa.string()),
            ("credit_card", pa.string()),
            ("city", pa.string()),
            ("state", pa.string()),
            ("date_time", _TIME),
            ("extra", pa.string()),
        ]
    ),
}
_PLACE = {"persons": (0, _PERSONS), "auctions": (_PERSONS, _AUCTIONS), "bids": (_PERSONS + _AUCTIONS, _BIDS)}
"""Where in each run of 50 events a table's events stand: first offset and how many."""


@dataclass(frozen=True, init=False, repr=False)
class Source:
    """One table of the auction.

    `table`: "bids", "auctions" or "persons". `events`: how many events of the three tables there are together, so that
    the same number gives tables that belong together; None for a stream without end. `per_second`: events per second
    of event time. `disorder`: each event time is earlier than its turn by a random time from zero to this, so that a
    watermark of `bounded_out_of_orderness(disorder)` finds no late rows. `splits`: rows are dealt to so many in turn.
    """

    _table: Table
    _events: int | None
    _seed: int
    _per_second: int
    _disorder: int
    _splits: int
    _columns: tuple[str, ...]

    def __init__(
        self,
        table: Table = "bids",
        events: int | None = None,
        *,
        seed: int = 1,
        per_second: int = 10_000,
        disorder: str | timedelta | int = "0s",
        splits: int = 1,
    ) -> None:
        if table not in _SCHEMAS:
            raise UserError(f"nexmark has no table {table!r}", remedy=f"use one of {', '.join(_SCHEMAS)}")
        delay = parse_duration(disorder)
        if splits < 1 or per_second < 1 or delay < 0 or (events is not None and events < 0):
            raise UserError(
                f"nexmark cannot make {events=}, {per_second=}, {disorder=}, {splits=}",
                remedy="use positive numbers",
            )
        set_fields(
            self,
            _table=table,
            _events=events,
            _seed=seed,
            _per_second=per_second,
            _disorder=delay,
            _splits=splits,
            _columns=tuple(_SCHEMAS[table].names),
        )

    def __repr__(self) -> str:
        return (
            f"nexmark.Source({self._table!r}, events={self._events}, seed={self._seed}, per_second={self._per_second}, "
            f"disorder={self._disorder}, splits={self._splits}, columns={list(self._columns)})"
        )

    @property
    def bounded(self) -> bool:
        return self._events is not None

    def schema(self) -> pa.Schema:
        whole = _SCHEMAS[self._table]
        return pa.schema([whole.field(name) for name in self._columns])

    def project(self, columns: Sequence[str]) -> Source:
        return with_fields(self, _columns=tuple(columns))

    def splits(self) -> list[str]:
        return [str(number) for number in range(self._splits)]

    def row_count(self) -> int | None:
        if self._events is None:
            return None
        first, count = _PLACE[self._table]
        runs, rest = divmod(self._events, _RUN)
        return runs * count + min(max(rest - first, 0), count)

    def min_value(self, split: str, column: str) -> pa.Scalar | None:
        """Event times start at `FIRST_TIME` less the disorder; nothing is known of other columns."""
        return pa.scalar(FIRST_TIME - self._disorder, _TIME) if column == "date_time" else None

    def open(self, splits: Mapping[str, Position | None]) -> NumberedReader:
        schema = self.schema()

        def make(rows: Ints) -> list[pa.Array]:
            columns = self._columns_of(rows)
            return [getattr(columns, field.name)() for field in schema]

        return NumberedReader(make, schema, strides(splits, self._splits, self.row_count()))

    def _columns_of(self, rows: Ints) -> _Columns:
        first, count = _PLACE[self._table]
        run = rows // count
        number = run * (_RUN - count) + rows + first
        return _COLUMNS[self._table](rows, run, number, self._seed, self._per_second, self._disorder)


class _Columns:
    """The columns of a run of rows of one table, each made only when it is asked for.

    `rows`: row numbers within the table, `run`: which run of 50 events each is in, `number`: event numbers.
    """

    def __init__(self, rows: Ints, run: Ints, number: Ints, seed: int, per_second: int, disorder: int) -> None:
        self.rows = rows
        self.run = run
        self.number = number
        self.seed = seed
        self.per_second = per_second
        self.disorder = disorder

    def date_time(self) -> pa.Array:
        return _times(self._times())

    def _times(self) -> Ints:
        interval, rest = divmod(1_000_000, self.per_second)
        times = self.number * interval if not rest else self.number * 1_000_000 // self.per_second
        times += FIRST_TIME
        if self.disorder:
            part = (self._random("disorder") >> np.uint64(11)).astype(np.float64)
            part *= (self.disorder + 1) / 2.0**53
            times -= part.astype(np.int64)
        return times

    def _random(self, what: str) -> Words:
        return random_words(self.number, self.seed, what)

    def _price(self, what: str) -> Ints:
        """Between 1.00 and 1,000,000.00 in cents, every order of magnitude as likely."""
        exponent = (self._random(what) >> np.uint64(11)).astype(np.float64)
        exponent *= np.log(1e6) / 2.0**53
        np.exp(exponent, out=exponent)
        exponent *= 100.0
        return np.rint(exponent, out=exponent).astype(np.int64)

    def _person(self, what: str) -> Ints:
        """One of the persons active at the time, or one that comes soon."""
        people = self.run + 1
        active = np.minimum(people, _ACTIVE_PERSONS)
        return people - active + _below(self._random(what), active + _LEAD)

    def _text(self, what: str, shortest: int, longest: int) -> pa.Array:
        return random_text(self.number, self.seed, what, shortest, longest)

    def _choice(self, what: str, values: Sequence[str]) -> pa.Array:
        return pa.array(values).take(pa.array(_below(self._random(what), len(values))))


class _Bids(_Columns):
    def auction(self) -> pa.Array:
        newest = self.run * _AUCTIONS + (_AUCTIONS - 1)
        oldest = np.maximum(newest - _IN_FLIGHT_AUCTIONS, 0)
        words = self._random("auction")
        any_ = oldest + _below(words, newest - oldest + (1 + _LEAD))
        return pa.array(np.where(_is_hot(words, _HOT_AUCTION_RATIO), newest // _HOT * _HOT, any_) + FIRST_ID)

    def bidder(self) -> pa.Array:
        hot = _is_hot(self._random("bidder is hot"), _HOT_BIDDER_RATIO)
        return pa.array(np.where(hot, self.run // _HOT * _HOT + 1, self._person("bidder")) + FIRST_ID)

    def price(self) -> pa.Array:
        return pa.array(self._price("price"))

    def channel(self) -> pa.Array:
        return channels(self.seed)[0].take(self._channel())

    def url(self) -> pa.Array:
        return channels(self.seed)[1].take(self._channel())

    def _channel(self) -> pa.Array:
        """Half of the bids come through one of the hot channels, which stand first."""
        words = self._random("channel")
        hot = _is_hot(words, _HOT_CHANNELS_RATIO)
        some = _below(words, np.where(hot, len(_HOT_CHANNELS), _CHANNELS))
        return pa.array(np.where(hot, some, some + len(_HOT_CHANNELS)))

    def extra(self) -> pa.Array:
        return self._text("extra", 54, 82)


class _Auctions(_Columns):
    def id(self) -> pa.Array:
        return pa.array(self.rows + FIRST_ID)

    def item_name(self) -> pa.Array:
        return self._text("item_name", 3, 20)

    def description(self) -> pa.Array:
        return self._text("description", 3, 100)

    def initial_bid(self) -> pa.Array:
        return pa.array(self._price("initial_bid"))

    def reserve(self) -> pa.Array:
        return pa.array(self._price("initial_bid") + self._price("reserve"))

    def expires(self) -> pa.Array:
        """On average after as many events as make `_IN_FLIGHT_AUCTIONS` auctions."""
        ahead = _IN_FLIGHT_AUCTIONS * _RUN // _AUCTIONS
        milliseconds = max(2 * ahead * 1000 // self.per_second, 1)
        return _times(self._times() + (1 + _below(self._random("expires"), milliseconds)) * 1000)

    def seller(self) -> pa.Array:
        hot = _is_hot(self._random("seller is hot"), _HOT_SELLER_RATIO)
        return pa.array(np.where(hot, self.run // _HOT * _HOT, self._person("seller")) + FIRST_ID)

    def category(self) -> pa.Array:
        return pa.array(_below(self._random("category"), _CATEGORIES) + _FIRST_CATEGORY)

    def extra(self) -> pa.Array:
        return self._text("extra", 300, 460)


class _Persons(_Columns):
    def id(self) -> pa.Array:
        return pa.array(self.rows + FIRST_ID)

    def name(self) -> pa.Array:
        return join_text(self._choice("first name", _FIRST_NAMES), " ", self._choice("last name", _LAST_NAMES))

    def email_address(self) -> pa.Array:
        return join_text(self._text("mailbox", 3, 7), "@", self._text("domain", 3, 5), ".com")

    def credit_card(self) -> pa.Array:
        digits = [random_digits(self.number, self.seed, f"credit card {part}") for part in range(4)]
        return join_text(digits[0], " ", digits[1], " ", digits[2], " ", digits[3])

    def city(self) -> pa.Array:
        return self._choice("city", _CITIES)

    def state(self) -> pa.Array:
        return self._choice("state", _STATES)

    def extra(self) -> pa.Array:
        return self._text("extra", 96, 144)


_COLUMNS: Mapping[str, type[_Columns]] = {"bids": _Bids, "auctions": _Auctions, "persons": _Persons}


def _times(microseconds: Ints) -> pa.Array:
    return pa.array(microseconds).view(_TIME)


def _below(words: Words, bound: Ints | int) -> Ints:
    """Numbers from 0 to `bound` (exclusive, below 2**31), from the high half of random words."""
    numbers = (words >> np.uint64(32)).view(np.int64) * bound
    numbers >>= 32
    return numbers


def _is_hot(words: Words, ratio: int) -> npt.NDArray[np.bool_]:
    """True in all but one of `ratio` cases (a power of two), from the low bits of random words."""
    hot: npt.NDArray[np.bool_] = (words & np.uint64(ratio - 1)) != 0
    return hot

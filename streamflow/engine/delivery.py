"""What reaches a sink that refuses some rows: those that it takes, and of a changelog what makes sense without others.

The rows of a key in a changelog take turns: one comes, it is taken back, the next comes. Where one is refused, the sink
is not told either that it is taken back; an update of which one half is missing is the other half alone, a delete or an
insert. So what the sink shows in the end is the final state without the rows that it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamflow.connect.sink import RowsRefused
from streamflow.errors import DataError
from streamflow.kernels.hashing import Hashes, hash_columns
from streamflow.operators.dead_letters import Rejected
from streamflow.operators.events import CHANGE, DELETE, INSERT, UPDATE_AFTER, UPDATE_BEFORE, Batch
from streamflow.state.refused_keys import RefusedKeys

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Put: TypeAlias = "Callable[[Batch], None]"


class Delivery:
    """Hands rows over to one sink. `key`: of a changelog; None for rows that only come."""

    def __init__(self, key: tuple[str, ...] | None) -> None:
        self._key = key
        self.absent = RefusedKeys()

    def hand_over(self, batch: Batch, put: Put) -> Rejected | None:
        """Give the sink all rows that it takes, and return the others.

        `put` hands over a batch; where it raises DataError it has taken none of it. A batch is tried whole; then
        `RowsRefused` names the rows to leave out, or it is halved, and halved again, never within an update of which
        both rows are taken.
        """
        refused = list(self._parts(batch, put))
        if not refused:
            return None
        errors = tuple(error for part in refused for error in part.errors)
        return Rejected(pa.concat_batches([part.rows for part in refused]), errors)

    def _parts(self, batch: Batch, put: Put) -> Iterator[Rejected]:
        rows = self._present(batch) if len(self.absent) else batch
        if not rows.num_rows:
            return
        try:
            put(rows)
        except DataError as error:
            if isinstance(error, RowsRefused) and 0 < len(error.rows) < rows.num_rows:
                yield from self._named(rows, error, put)
            elif rows.num_rows == 1:
                yield Rejected(rows, (error,))
                if self._key is not None and rows[CHANGE][0].as_py() in (INSERT, UPDATE_AFTER):
                    self.absent.add(self._hashes(rows))
            else:
                for part in self._halves(rows):
                    yield from self._parts(part, put)

    def _named(self, rows: Batch, error: RowsRefused, put: Put) -> Iterator[Rejected]:
        """The sink has said which rows it refuses."""
        refused = np.zeros(rows.num_rows, np.bool_)
        refused[list(error.rows)] = True
        yield Rejected(rows.filter(pa.array(refused)), (error,) * int(refused.sum()))
        if self._key is None:
            yield from self._parts(rows.filter(pa.array(~refused)), put)
        else:
            rest, absent = self._without(rows, refused)
            yield from self._parts(rest, put)
            self.absent.add(absent)

    # -- changelogs

    def _hashes(self, rows: Batch) -> Hashes:
        return hash_columns([rows[name] for name in self._key or ()], rows.num_rows)

    def _present(self, batch: Batch) -> Batch:
        """The batch without what takes back a row that is not there."""
        if self._key is None:
            return batch
        hashes, kinds = self._hashes(batch), _kinds(batch)
        found = np.flatnonzero(self.absent.among(hashes) & _takes_back(kinds))
        if not len(found):
            return batch
        gone, first = np.unique(hashes[found], return_index=True)  # what follows on it takes back rows that came after
        self.absent.remove(gone)
        left = np.ones(batch.num_rows, np.bool_)
        left[found[first]] = False
        return _left(batch, kinds, _updates(kinds, hashes), left)

    def _without(self, rows: Batch, refused: Mask) -> tuple[Batch, Hashes]:
        """What is left when these rows are refused, and the keys whose last row is one of them."""
        hashes, kinds = self._hashes(rows), _kinds(rows)
        order = np.argsort(hashes, kind="stable")
        follows = np.append(hashes[order[1:]] == hashes[order[:-1]], False)
        comes = refused & ~_takes_back(kinds)
        left = ~refused
        left[order[1:][(comes[order] & follows)[:-1]]] = False
        return _left(rows, kinds, _updates(kinds, hashes), left), hashes[order[comes[order] & ~follows]]

    def _halves(self, rows: Batch) -> tuple[Batch, Batch]:
        middle = rows.num_rows // 2
        if self._key is not None and _updates(_kinds(rows), self._hashes(rows))[middle - 1]:
            if rows.num_rows == 2:
                return _of_kind(rows.slice(0, 1), DELETE), _of_kind(rows.slice(1), INSERT)
            middle -= 1 if middle > 1 else -1
        return rows.slice(0, middle), rows.slice(middle)


def _kinds(batch: Batch) -> npt.NDArray[np.int8]:
    return np.array(batch[CHANGE], np.int8)


def _takes_back(kinds: npt.NDArray[np.int8]) -> Mask:
    mask: Mask = (kinds == UPDATE_BEFORE) | (kinds == DELETE)
    return mask


def _updates(kinds: npt.NDArray[np.int8], hashes: Hashes) -> Mask:
    """Where the two rows of an update begin."""
    found = np.zeros(len(kinds), np.bool_)
    found[:-1] = (kinds[:-1] == UPDATE_BEFORE) & (kinds[1:] == UPDATE_AFTER) & (hashes[:-1] == hashes[1:])
    return found


def _left(batch: Batch, kinds: npt.NDArray[np.int8], updates: Mask, left: Mask) -> Batch:
    """The rows that are left; one that has lost the other of its update stands for itself."""
    before = np.flatnonzero(updates)
    kinds = kinds.copy()
    kinds[before[~left[before + 1]]] = DELETE
    kinds[before[~left[before]] + 1] = INSERT
    return _of_kind(batch, kinds).filter(pa.array(left))


def _of_kind(rows: Batch, kinds: int | npt.NDArray[np.int8]) -> Batch:
    index = rows.schema.get_field_index(CHANGE)
    column = pa.array(np.broadcast_to(np.int8(kinds), rows.num_rows).copy())
    return rows.set_column(index, rows.schema.field(index), column)

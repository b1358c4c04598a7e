"""Answers: a noisy table, its error bars, and what was paid for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from ._layout import html_notes, html_table, text_table
from ._numbers import estimate, key, percent
from .budget import Balance
from .pricing import Receipt

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 20


@dataclass(frozen=True, repr=False)
class Answer:
    """An answer with its error bars. Two answers are equal where all they hold is.

    Attributes:
        query_id: Fetches this answer again, byte for byte, with `Client.answer`.
        table_ipc: The table as the server sent it, an Arrow IPC stream.
        intervals_ipc: The intervals as the server sent them, an Arrow IPC stream.
        receipt: What was paid and how the answer was made.
        balance: What was left when this answer was sent.
        replayed: Whether the bytes come from an earlier charge, and nothing was charged now.
    """

    query_id: str
    table_ipc: bytes
    intervals_ipc: bytes
    receipt: Receipt
    balance: Balance
    replayed: bool

    @cached_property
    def table(self) -> pa.Table:
        """The columns asked for."""
        return _read(self.table_ipc)

    @cached_property
    def intervals(self) -> pa.Table:
        """The error bars, row by row with `table`.

        `<column>_lower` and `<column>_upper`, in the column's unit, for each noisy column that has
        an interval. Each covers the noise, with the confidence that the receipt names. What the
        limits cut off is not in it: rows of a unit with more than it may add, values out of bounds.
        """
        return _read(self.intervals_ipc)

    def to_arrow(self, intervals: bool = True) -> pa.Table:
        """The table with the intervals of each column beside it, or without intervals."""
        if not intervals:
            return self.table
        fields, columns = [], []
        for index, name in enumerate(self.table.column_names):
            fields.append(self.table.field(index))
            columns.append(self.table.column(index))
            for end in self._interval(name):
                fields.append(self.intervals.field(end))
                columns.append(self.intervals.column(end))
        return pa.table(columns, schema=pa.schema(fields))

    def to_pandas(self, intervals: bool = True) -> pd.DataFrame:
        """The table as a data frame, with the intervals of each column beside it or without.

        Raises:
            ImportError: pandas is not installed.
        """
        return self.to_arrow(intervals).to_pandas()

    def _interval(self, column: str) -> list[str]:
        ends = [f"{column}_lower", f"{column}_upper"]
        return ends if set(ends) <= set(self.intervals.column_names) else []

    def _rows(self) -> list[list[str]]:
        noisy = {column.name for column in self.receipt.columns}
        columns = []
        for index, name in enumerate(self.table.column_names):
            values = self.table.column(index)[:SHOWN_ROWS].to_pylist()
            if name not in noisy:
                columns.append([key(value) for value in values])
                continue
            ends = [self.intervals.column(end)[:SHOWN_ROWS] for end in self._interval(name)]
            lower, upper = [end.to_pylist() for end in ends] or [[None] * len(values)] * 2
            columns.append(list(map(estimate, values, lower, upper)))
        return [list(row) for row in zip(*columns, strict=True)]

    def _right(self) -> list[int]:
        noisy = {column.name for column in self.receipt.columns}
        return [index for index, name in enumerate(self.table.column_names) if name in noisy]

    def _notes(self) -> list[str]:
        notes = []
        if self.table.num_rows > SHOWN_ROWS:
            notes.append(f"… {self.table.num_rows - SHOWN_ROWS:,} more rows")
        if self.intervals.num_columns:
            confidence = percent(self.receipt.confidence)
            notes.append(
                f"Each error bar covers the noise at {confidence} confidence, "
                "not what the limits cut off."
            )
        paid = f"paid earlier: {self.receipt.price}; nothing now" if self.replayed else None
        notes.append(
            f"Price {paid or self.receipt.price}. Left: {self.balance.describe_left()}. "
            f"Query {self.query_id}."
        )
        return notes

    def __repr__(self) -> str:
        table = text_table(self.table.column_names, self._rows(), self._right())
        return "\n".join([table, "", *self._notes()])

    def _repr_html_(self) -> str:
        table = html_table(self.table.column_names, self._rows(), self._right())
        return table + html_notes(self._notes())


def _read(stream: bytes) -> pa.Table:
    """Read an Arrow IPC stream; an empty one is a table without columns."""
    return pa.ipc.open_stream(stream).read_all() if stream else pa.table({})

"""What may be asked: datasets, their tables and their columns."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ._amounts import show
from ._layout import html_heading, html_notes, html_table, text_table
from ._numbers import number


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: Name.
        description: What it holds.
        type: BIGINT, DOUBLE, VARCHAR, BOOLEAN, DATE or TIMESTAMP.
        privacy_unit: Whether it identifies the privacy unit.
        lower: Public lower bound of the values, where declared.
        upper: Public upper bound of the values, where declared.
        domain: How its public keys are known, in words. Empty: it cannot be grouped by.
        tier: Sensitivity tier, for example `general` or `health`.
    """

    name: str
    description: str
    type: str
    privacy_unit: bool
    lower: float | None
    upper: float | None
    domain: str
    tier: str

    def _row(self) -> list[str]:
        lower = "" if self.lower is None else number(self.lower)
        upper = "" if self.upper is None else number(self.upper)
        # The spaces do not break, so that bounds stay on one line of an HTML table.
        bounds = f"{lower}\u00a0…\u00a0{upper}" if lower or upper else ""
        about = "; ".join(filter(None, ["the privacy unit" * self.privacy_unit, self.description]))
        return [self.name, self.type, bounds, self.domain, self.tier, about]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Name.
        description: What a row is.
        protected: Whether its rows are private. A public table may be read as it is.
        columns: Its columns.
    """

    name: str
    description: str
    protected: bool
    columns: tuple[Column, ...]

    def _title(self) -> str:
        title = f"{self.name} ({'protected' if self.protected else 'public'})"
        return f"{title}: {self.description}" if self.description else title


@dataclass(frozen=True, repr=False)
class Dataset:
    """A dataset and the rules under which it answers.

    Attributes:
        name: Name.
        description: What it is.
        privacy_unit: What one privacy unit is, in words, for example `one customer`.
        tables: Its tables.
        default_epsilon: Epsilon of a question that names none.
        max_epsilon: The most that one question may cost.
        default_delta: Delta of a question with private keys that names none. 0: keys are public.
        max_delta: The most delta that one question may ask for.
        max_groups_contributed: Groups that one privacy unit may take part in. None: each question
            finds out a limit of its own, for a part of its price.
        max_rows_contributed: Rows that one privacy unit may add to one group. None: each question
            finds out a limit of its own, for a part of its price.
        default_mechanism: `automatic`, `laplace`, `gaussian`, or `unknown` to this version of the
            client.
        policy_version: SHA-256 of the declaration.
        purposes: Purposes for which the caller has a grant.
    """

    name: str
    description: str
    privacy_unit: str
    tables: tuple[Table, ...]
    default_epsilon: Decimal
    max_epsilon: Decimal
    default_delta: Decimal
    max_delta: Decimal
    max_groups_contributed: int | None
    max_rows_contributed: int | None
    default_mechanism: str
    policy_version: str
    purposes: tuple[str, ...]

    def _title(self) -> str:
        return f"{self.name}: {self.description}" if self.description else self.name

    def _notes(self) -> list[str]:
        most = self.max_groups_contributed
        groups = "as many groups as a question finds out" if most is None else f"{most:,} groups"
        most = self.max_rows_contributed
        rows = "as many rows as it finds out" if most is None else f"at most {most:,} rows"
        return [
            f"Protects {self.privacy_unit}, which counts in at most {groups} with {rows} each.",
            f"A question costs ε = {show(self.default_epsilon)} unless it says otherwise, and at "
            f"most ε = {show(self.max_epsilon)}. Mechanism: {self.default_mechanism}.",
            f"Private keys cost δ = {show(self.default_delta)} unless a question says otherwise."
            if self.max_delta
            else "Keys must be public.",
            f"You may ask for: {', '.join(self.purposes) or '(no purpose)'}.",
        ]

    def __repr__(self) -> str:
        parts = ["\n".join([self._title(), *self._notes()])]
        for table in self.tables:
            parts.append(f"{table._title()}\n{text_table(_HEADERS, _rows(table))}")
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [html_heading(self._title()), html_notes(self._notes())]
        for table in self.tables:
            parts += [html_heading(table._title()), html_table(_HEADERS, _rows(table))]
        return "".join(parts)


_HEADERS = ["column", "type", "bounds", "can be grouped by", "tier", "about"]


def _rows(table: Table) -> list[list[str]]:
    return [column._row() for column in table.columns]

"""Governance's policy: its versions, and changes of it with what they would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from ._amounts import Amount, show, to_wire
from ._layout import html_heading, html_notes, html_table, text_table
from ._numbers import percent
from .budget import day


@dataclass(frozen=True, repr=False)
class PolicyVersion:
    """A version of the policy, without its text.

    Attributes:
        version: Its number, from 1.
        hash: SHA-256 of its text. Receipts name the policy by it.
        at: From when on it was in force, in UTC.
        author: Who proposed it.
        approved_by: Who approved it.
        reason: Why.
    """

    version: int
    hash: str
    at: datetime
    author: str
    approved_by: tuple[str, ...]
    reason: str

    def __repr__(self) -> str:
        approved = f", approved by {', '.join(self.approved_by)}" if self.approved_by else ""
        return (
            f"Policy {self.version} ({self.hash[:16]}), in force from {minute(self.at)}: "
            f"by {self.author}{approved}: {self.reason}"
        )

    def _repr_html_(self) -> str:
        return html_notes([repr(self)])


@dataclass(frozen=True, repr=False)
class Policy:
    """The policy: who may ask what, for which purpose, out of whose budget.

    Attributes:
        version: Which one it is, and who made it.
        text: What it says, in TOML.
    """

    version: PolicyVersion
    text: str

    def edited(self, text: str) -> NewPolicy:
        """Another policy in the place of this one, to be simulated or proposed.

        It is refused where this one is not in force any more, so that no change between is lost.
        """
        return NewPolicy(text, based_on=self.version.hash)

    def __repr__(self) -> str:
        return f"{self.version!r}\n\n{self.text}"


@dataclass(frozen=True)
class NewPolicy:
    """Another policy altogether. `Policy.edited` makes one.

    Attributes:
        text: What it says, in TOML.
        based_on: Hash of the policy that it was made from, which must still be in force.
    """

    text: str
    based_on: str

    def __str__(self) -> str:
        return f"another policy, made from {self.based_on[:16]}"


@dataclass(frozen=True)
class MoreBudget:
    """More for an account, which may be new.

    Attributes:
        principal: Who asks questions with it.
        dataset: About which dataset.
        purpose: For which purpose.
        epsilon: How much more epsilon.
        delta: How much more delta.
    """

    principal: str
    dataset: str
    purpose: str
    epsilon: Amount
    delta: Amount = 0

    def __str__(self) -> str:
        account = f"{self.principal} for {self.purpose} on {self.dataset}"
        return f"{_exactly(self.epsilon, self.delta)} more for {account}"


@dataclass(frozen=True)
class Holder:
    """Whose grant: either a principal's for a purpose, or a team's.

    Attributes:
        principal: Name of the principal. Empty for a team.
        purpose: The purpose of the principal's grant. Empty for a team.
        team: Name of the team. Empty for a principal.
    """

    principal: str = ""
    purpose: str = ""
    team: str = ""

    @classmethod
    def of(cls, text: str) -> Holder:
        """Read `PRINCIPAL/PURPOSE` or `team:NAME`.

        Raises:
            ValueError: It is neither.
        """
        if text.startswith("team:"):
            return cls(team=text.removeprefix("team:"))
        principal, slash, purpose = text.partition("/")
        if not slash:
            raise ValueError(f"{text!r} is neither PRINCIPAL/PURPOSE nor team:NAME")
        return cls(principal, purpose)

    def __str__(self) -> str:
        return f"team {self.team}" if self.team else f"{self.principal} for {self.purpose}"


@dataclass(frozen=True)
class Move:
    """A part of a grant that was not spent, to another grant of the same dataset.

    Attributes:
        dataset: Name of the dataset.
        source: Whose grant is to be less.
        target: Whose grant is to be more.
        epsilon: How much epsilon.
        delta: How much delta.
    """

    dataset: str
    source: Holder
    target: Holder
    epsilon: Amount
    delta: Amount = 0

    def __str__(self) -> str:
        amount = _exactly(self.epsilon, self.delta)
        return f"{amount} of {self.source} to {self.target} on {self.dataset}"


@dataclass(frozen=True)
class Revoke:
    """The end of a grant. What was spent stays spent, and is there again if the grant ever is.

    Attributes:
        dataset: Name of the dataset.
        principal: Whose grant.
        purpose: For which purpose.
    """

    dataset: str
    principal: str
    purpose: str

    def __str__(self) -> str:
        return f"the end of the grant of {self.principal} for {self.purpose} on {self.dataset}"


Edit = NewPolicy | MoreBudget | Move | Revoke
"""A change of the policy."""


@dataclass(frozen=True)
class Terms:
    """A grant with its terms.

    Attributes:
        epsilon: Epsilon of the grant.
        delta: Delta of the grant.
        team: The team whose account pays too.
        max_epsilon: The most that one question may ask for. None: the dataset's.
        default_epsilon: What a question asks for that does not say. None: the dataset's.
        window: In which windows the grant is there anew. None: it is there once.
        expires_at: From when on it may not be used, in UTC. None: it has no end.
        reserved: The share of the pool, from 0 to 1, that is kept for it.
        others: Terms that this version of the client does not know: names with values as JSON.
    """

    epsilon: Decimal
    delta: Decimal
    team: str | None = None
    max_epsilon: Decimal | None = None
    default_epsilon: Decimal | None = None
    window: str | None = None
    expires_at: datetime | None = None
    reserved: Decimal = Decimal(0)
    others: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return ", ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield f"ε {show(self.epsilon)}, δ {show(self.delta)}"
        if self.window is not None:
            yield self.window
        if self.expires_at is not None:
            yield f"until {day(self.expires_at - timedelta(seconds=1))}"
        if self.team is not None:
            yield f"team {self.team}"
        if self.max_epsilon is not None:
            yield f"at most ε {show(self.max_epsilon)} a question"
        if self.default_epsilon is not None:
            yield f"ε {show(self.default_epsilon)} by default"
        if self.reserved:
            yield f"{percent(float(self.reserved))} of the pool reserved"
        for name, value in self.others:
            yield f"{name} {value}"


@dataclass(frozen=True)
class AccountChange:
    """What a change of the policy does to one account.

    Attributes:
        account: Which one, in words.
        before: Its grant before; None where it has none.
        after: Its grant after; None where it has none any more.
        remaining_before: Largest epsilon of one more question before, by this account alone.
        remaining_after: The same after.
        overdrawn: Whether more was spent than its grant would then be: it can spend nothing more.
    """

    account: str
    before: Terms | None
    after: Terms | None
    remaining_before: Decimal
    remaining_after: Decimal
    overdrawn: bool

    def _row(self) -> list[str]:
        grants = ["none" if terms is None else str(terms) for terms in (self.before, self.after)]
        left = [show(self.remaining_before), show(self.remaining_after)]
        return [self.account, *grants, *left, "has spent more than that" if self.overdrawn else ""]


@dataclass(frozen=True, repr=False)
class Effect:
    """What a change of the policy does.

    Attributes:
        accounts: The accounts that it changes.
        rules: The rules that it changes, in words.
        approvals: Approvals of others than its author that it needs.
        diff: What the policy's text changes, line by line.
        based_on: The hash of the policy in force, by which this was judged.
    """

    accounts: tuple[AccountChange, ...]
    rules: tuple[str, ...]
    approvals: int
    diff: str = ""
    based_on: str = ""

    def _table(self) -> tuple[list[str], list[list[str]]]:
        headers, rows = list(_HEADERS), [change._row() for change in self.accounts]
        if not any(change.overdrawn for change in self.accounts):
            headers, rows = headers[:-1], [row[:-1] for row in rows]
        return headers, rows

    def _notes(self) -> list[str]:
        approvals = "1 approval" if self.approvals == 1 else f"{self.approvals} approvals"
        return [
            *([] if self.accounts else ["No account changes."]),
            *(f"{rule[:1].upper()}{rule[1:]}." for rule in self.rules),
            f"Needs {approvals} of others than its author.",
        ]

    def __repr__(self) -> str:
        table = [text_table(*self._table(), _RIGHT)] if self.accounts else []
        return "\n".join([*table, *self._notes()])

    def _repr_html_(self) -> str:
        table = html_table(*self._table(), _RIGHT) if self.accounts else ""
        return table + html_notes(self._notes())


@dataclass(frozen=True, repr=False)
class Simulation:
    """What a change of the policy would do now. Nothing was changed.

    Attributes:
        effect: What it would do to accounts and rules.
        text: The policy that it would make, in TOML.
        based_on: Hash of the policy in force, of which it would be made.
    """

    effect: Effect
    text: str
    based_on: str

    def __repr__(self) -> str:
        return repr(self.effect)

    def _repr_html_(self) -> str:
        return html_heading("What it would do") + self.effect._repr_html_()


def minute(moment: datetime) -> str:
    """A moment in UTC, to the minute."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


_HEADERS = ["account", "grant before", "grant after", "ε left before", "ε left after", "note"]
_RIGHT = (3, 4)


def _exactly(epsilon: Amount, delta: Amount) -> str:
    """Both amounts to the last digit, without a delta of 0."""
    shown, of_delta = f"ε {to_wire(epsilon)}", to_wire(delta)
    return shown if of_delta in ("", "0") else f"{shown}, δ {of_delta}"

"""What has been spent of a privacy budget, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple

from ._amounts import show
from ._layout import html_heading, html_notes, html_table, text_table
from ._numbers import percent


class Guarantee(NamedTuple):
    """What is (epsilon, delta)-differentially private."""

    epsilon: Decimal
    delta: Decimal

    def __str__(self) -> str:
        return f"ε {show(self.epsilon)}, δ {show(self.delta)}"


@dataclass(frozen=True)
class AccountState:
    """The state of one account, or of one that several pay with, such as a dataset's pool.

    A charge is counted in two ledgers, pure and zCDP, and accepted while either one holds.

    Attributes:
        granted_epsilon: Epsilon of the grant: everything learned is (epsilon, delta)-DP.
        granted_delta: Delta of the grant.
        spent_epsilon: Spent in the pure ledger. None once something without a pure epsilon was
            charged, which closes that ledger.
        remaining_epsilon: Largest epsilon of one more question that is still accepted, with the
            noise that suits the ledger which accepts more; None where a server does not say.
        spent_rho: Spent in the zCDP ledger.
        rho_limit: The zCDP ledger holds up to this rho.
        spent_delta: Delta that the charges themselves brought.
        charges: Number of charges.
        window: `daily`, `weekly`, `monthly`, `quarterly` or `yearly` where the grant is there anew
            in each window: then grant, spent amounts and charges are those of this window. None
            where it is there once.
        window_began: When this window began, in UTC. None without windows.
        window_ends: When the next one begins, in UTC. None without windows.
        lifetime_epsilon: Spent in the pure ledger in all windows, which nothing resets. None where
            that ledger was closed in any of them.
        lifetime_rho: Spent in the zCDP ledger in all windows.
        lifetime_delta: Delta that the charges of all windows brought.
        lifetime_charges: Number of charges in all windows.
        loss: At which (epsilon, delta) everything that was charged so far, in all windows, is
            private. None where a server does not say.
        expires_at: From when on the grant may not be used, in UTC. None: it has no end.
        max_epsilon: The most that one question may ask for. None: the dataset's.
        default_epsilon: What a question asks for that does not say. None: the dataset's.
        reserved: The share of the pool, from 0 to 1, that is kept for this account.
        kept_epsilon: Of a pool: epsilon that is kept for others.
        kept_rho: Of a pool: rho that is kept for others.
    """

    granted_epsilon: Decimal
    granted_delta: Decimal
    spent_epsilon: Decimal | None
    remaining_epsilon: Decimal | None
    spent_rho: Decimal
    rho_limit: Decimal
    spent_delta: Decimal
    charges: int
    window: str | None = None
    window_began: datetime | None = None
    window_ends: datetime | None = None
    lifetime_epsilon: Decimal | None = None
    lifetime_rho: Decimal = Decimal(0)
    lifetime_delta: Decimal = Decimal(0)
    lifetime_charges: int = 0
    loss: Guarantee | None = None
    expires_at: datetime | None = None
    max_epsilon: Decimal | None = None
    default_epsilon: Decimal | None = None
    reserved: Decimal = Decimal(0)
    kept_epsilon: Decimal = Decimal(0)
    kept_rho: Decimal = Decimal(0)

    @property
    def granted(self) -> Guarantee:
        """The grant: everything learned is private at this, in each window where it has one."""
        return Guarantee(self.granted_epsilon, self.granted_delta)

    @property
    def expired(self) -> bool:
        """Whether the grant has come to its end, by this machine's clock."""
        return self.expires_at is not None and self.expires_at <= datetime.now(timezone.utc)

    @property
    def remaining_rho(self) -> Decimal:
        """What the zCDP ledger still holds beside what is kept for others, at least 0."""
        return max(self.rho_limit - self.spent_rho - self.kept_rho, Decimal(0))

    @property
    def share_left(self) -> float:
        """The share, 0 to 1, that is left in the ledger with more left."""
        epsilon = _share(self.remaining_epsilon or Decimal(0), self.granted_epsilon)
        return max(epsilon, _share(self.remaining_rho, self.rho_limit))

    def describe_left(self) -> str:
        """What is left, in words: `ε 9.5 of 10, or ρ 1.2 of 1.4`."""
        rho = f"ρ {show(self.remaining_rho)} of {show(self.rho_limit)}"
        if self.remaining_epsilon is None:
            return rho
        epsilon = f"ε {show(self.remaining_epsilon)} of {show(self.granted_epsilon)}"
        return f"{epsilon}, or {rho}"

    def _lost(self) -> str:
        if not self.lifetime_charges:
            return "nothing"
        return "no bound" if self.loss is None else str(self.loss)

    def _last_day(self) -> str:
        """The last day on which the grant may be used; empty where it has no end."""
        return "" if self.expires_at is None else day(self.expires_at - timedelta(seconds=1))


@dataclass(frozen=True)
class SharedAccount:
    """An account that several pay with, beside their own.

    Attributes:
        name: For example `team growth`, `tier health` or `pool of shop`.
        state: What it was granted and has spent.
        frozen_because: Why governance stopped it; None where it did not.
    """

    name: str
    state: AccountState
    frozen_because: str | None = None


@dataclass(frozen=True, repr=False)
class Balance:
    """An account, which is a dataset, a principal and a purpose, and what pays beside it.

    Attributes:
        dataset: Name of the dataset.
        principal: Who asks.
        purpose: Why.
        account: What this account was granted and has spent.
        pool: What all accounts of the dataset together were granted and have spent.
        frozen: Whether a charged question failed and nothing more is run until an operator has
            looked into it. Answers that were paid for stay readable.
        frozen_because: Why governance stopped the account; None where it did not.
        shared: Accounts that pay the same as this one: its team's, and of a quote the caps of the
            tiers of columns that the question reads.
        pool_frozen_because: Why governance stopped everybody on the dataset; None where it did not.
    """

    dataset: str
    principal: str
    purpose: str
    account: AccountState
    pool: AccountState
    frozen: bool = False
    frozen_because: str | None = None
    shared: tuple[SharedAccount, ...] = ()
    pool_frozen_because: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether this account, or one that pays beside it, was frozen."""
        held = [self.frozen_because, self.pool_frozen_because]
        held += [account.frozen_because for account in self.shared]
        return self.frozen or any(why is not None for why in held)

    def describe_left(self) -> str:
        """What is left, in words.

        Names the account behind it of which the least is left, where that is less than of it.
        """
        left = self.account.describe_left()
        if self.stopped:
            left += " (frozen)"
        behind = [("the dataset's pool", self.pool)]
        behind += [(account.name, account.state) for account in self.shared]
        name, tightest = min(behind, key=lambda one: one[1].share_left)
        if tightest.share_left < self.account.share_left:
            left += f"; in {name} {tightest.describe_left()}"
        return left

    def _title(self) -> str:
        state = ", frozen" if self.stopped else ""
        return f"Budget of {self.principal} for {self.dataset}, {self.purpose}{state}"

    def _rows(self) -> list[list[str]]:
        return [
            _row("this account", self.account),
            *(_row(account.name, account.state) for account in self.shared),
            _row("the dataset's pool", self.pool),
        ]

    def _notes(self) -> list[str]:
        """What there is to say beside amounts: in the plain case nothing."""
        notes = []
        if self.frozen:
            notes.append("Frozen: a charged question failed; an operator has to look into it.")
        if self.frozen_because is not None:
            notes.append(f"Frozen by governance: {self.frozen_because}")
        if self.pool_frozen_because is not None:
            notes.append(f"Governance has frozen the dataset: {self.pool_frozen_because}")
        for shared in self.shared:
            if shared.frozen_because is not None:
                notes.append(f"Governance has frozen {shared.name}: {shared.frozen_because}")
        notes += self._promises()
        notes += _terms("This account", self.account)
        for shared in self.shared:
            notes += _terms(f"{shared.name[:1].upper()}{shared.name[1:]}", shared.state)
        kept = [("ε", self.pool.kept_epsilon), ("ρ", self.pool.kept_rho)]
        if amounts := " and ".join(f"{name} {show(amount)}" for name, amount in kept if amount):
            notes.append(f"Kept for others in the pool: {amounts}.")
        return notes

    def _promises(self) -> Iterator[str]:
        """The guarantees alone and together, where the table does not tell them already."""
        alone, together = self.account, self.pool
        all_of_us = f"what all accounts learn together at {together.granted}"
        if alone.window is not None:
            each = f"private at {alone.granted} in each {_PERIODS.get(alone.window, 'window')}"
            so_far = f", at {alone._lost()} in all so far" if alone.lifetime_charges else ""
            yield f"What this account learns is {each}{so_far}; {all_of_us}."
        elif alone.spent_epsilon is None and alone.loss is not None:
            so_far = f"; what all have learned at {together.loss}" if together.loss else ""
            yield f"What this account has learned so far is private at {alone.loss}{so_far}."

    def __repr__(self) -> str:
        return "\n".join(
            [self._title(), text_table(_HEADERS, self._rows(), _RIGHT), *self._notes()]
        )

    def _repr_html_(self) -> str:
        table = html_heading(self._title()) + html_table(_HEADERS, self._rows(), _RIGHT)
        notes = self._notes()
        return table + html_notes(notes) if notes else table


@dataclass(frozen=True, repr=False)
class Accounts:
    """All accounts, as governance and auditors see them.

    Attributes:
        balances: Each principal's, with what pays beside it.
        shared: Those that several pay with: pools, teams and tiers.
    """

    balances: tuple[Balance, ...]
    shared: tuple[SharedAccount, ...]

    def _rows(self) -> list[list[str]]:
        rows = []
        for balance in self.balances:
            name = f"{balance.principal} for {balance.purpose} on {balance.dataset}"
            why = "a charged question failed" if balance.frozen else balance.frozen_because
            pooled = f"{balance.pool.granted}; {_or_dash(balance.pool.remaining_epsilon)} left"
            rows.append(_line(name, balance.account, pooled, why))
        for account in self.shared:
            rows.append(_line(account.name, account.state, "", account.frozen_because))
        return rows

    def __repr__(self) -> str:
        return f"{text_table(_LINE, self._rows(), _LINE_RIGHT)}\n{_PROMISES}"

    def _repr_html_(self) -> str:
        return html_table(_LINE, self._rows(), _LINE_RIGHT) + html_notes([_PROMISES])


def day(moment: datetime) -> str:
    """A moment as its day in UTC."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d}"


_HEADERS = ["", "granted", "spent ε", "ε left", "spent ρ", "ρ left", "charges"]
_RIGHT = range(2, 7)
_LINE = ["account", "granted", "ε left", "lost in all", "charges", "window ends", "pooled", "state"]
_LINE_RIGHT = (2, 4)
_PROMISES = (
    "What is learned through an account is private at what it was granted, in each window where it "
    'has one ("lost in all" is what all of it is private at), and what all accounts learn together '
    "at what is pooled."
)
_PERIODS = {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
}


def _row(name: str, state: AccountState) -> list[str]:
    return [
        name,
        str(state.granted),
        _or_dash(state.spent_epsilon),
        _or_dash(state.remaining_epsilon),
        show(state.spent_rho),
        show(state.remaining_rho),
        str(state.charges),
    ]


def _line(name: str, state: AccountState, pooled: str, frozen_because: str | None) -> list[str]:
    if frozen_because is not None:
        how = f"frozen: {frozen_because}"
    elif state.expires_at is None:
        how = "open"
    else:
        how = f"{'ended after' if state.expired else 'open until'} {state._last_day()}"
    ends = "" if state.window_ends is None else f"{day(state.window_ends)} ({state.window})"
    left, charges = _or_dash(state.remaining_epsilon), str(state.lifetime_charges)
    return [name, str(state.granted), left, state._lost(), charges, ends, pooled, how]


def _terms(name: str, state: AccountState) -> Iterator[str]:
    """What governance set for an account beside amounts, a sentence each."""
    if state.window_ends is not None:
        yield f"{name} is {state.window}: the next window begins on {day(state.window_ends)}, UTC."
    if state.expires_at is not None:
        may = "could be used until" if state.expired else "may be used until"
        yield f"{name} {may} {state._last_day()}, UTC."
    if state.max_epsilon is not None:
        yield f"One question may ask for ε {show(state.max_epsilon)} at most."
    if state.default_epsilon is not None:
        yield f"A question that does not say asks for ε {show(state.default_epsilon)}."
    if state.reserved:
        yield f"{name} has {percent(float(state.reserved))} of the pool for itself."


def _or_dash(amount: Decimal | None) -> str:
    return "–" if amount is None else show(amount)


def _share(part: Decimal, whole: Decimal) -> float:
    return min(max(float(part / whole), 0.0), 1.0) if whole else 0.0

"""What has been spent of a privacy budget, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ._amounts import show
from ._layout import html_heading, html_table, text_table


@dataclass(frozen=True)
class AccountState:
    """The state of one account, or of the pool that all accounts of a dataset share.

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
    """

    granted_epsilon: Decimal
    granted_delta: Decimal
    spent_epsilon: Decimal | None
    remaining_epsilon: Decimal | None
    spent_rho: Decimal
    rho_limit: Decimal
    spent_delta: Decimal
    charges: int

    @property
    def remaining_rho(self) -> Decimal:
        """What the zCDP ledger still holds, at least 0."""
        return max(self.rho_limit - self.spent_rho, Decimal(0))

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


@dataclass(frozen=True, repr=False)
class Balance:
    """An account, which is a dataset, a principal and a purpose, and the dataset's pool behind it.

    Attributes:
        dataset: Name of the dataset.
        principal: Who asks.
        purpose: Why.
        account: What this account was granted and has spent.
        pool: What all accounts of the dataset together were granted and have spent.
        frozen: Whether a charged question failed and nothing more is run until an operator has
            looked into it. Answers that were paid for stay readable.
    """

    dataset: str
    principal: str
    purpose: str
    account: AccountState
    pool: AccountState
    frozen: bool = False

    def describe_left(self) -> str:
        """What is left, in words. Names the pool where less of that is left than of the account."""
        left = self.account.describe_left()
        if self.frozen:
            left += " (frozen)"
        if self.pool.share_left < self.account.share_left:
            left += f"; in the dataset's pool {self.pool.describe_left()}"
        return left

    def _title(self) -> str:
        state = ", frozen" if self.frozen else ""
        return f"Budget of {self.principal} for {self.dataset}, {self.purpose}{state}"

    def _rows(self) -> list[list[str]]:
        return [
            _row("this account", self.account),
            _row("the dataset's pool", self.pool),
        ]

    def __repr__(self) -> str:
        return f"{self._title()}\n{text_table(_HEADERS, self._rows(), _RIGHT)}"

    def _repr_html_(self) -> str:
        return html_heading(self._title()) + html_table(_HEADERS, self._rows(), _RIGHT)


_HEADERS = ["", "granted", "spent ε", "ε left", "spent ρ", "ρ left", "charges"]
_RIGHT = range(2, 7)


def _row(name: str, state: AccountState) -> list[str]:
    return [
        name,
        f"ε {show(state.granted_epsilon)}, δ {show(state.granted_delta)}",
        _or_dash(state.spent_epsilon),
        _or_dash(state.remaining_epsilon),
        show(state.spent_rho),
        show(state.remaining_rho),
        str(state.charges),
    ]


def _or_dash(amount: Decimal | None) -> str:
    return "–" if amount is None else show(amount)


def _share(part: Decimal, whole: Decimal) -> float:
    return min(max(float(part / whole), 0.0), 1.0) if whole else 0.0

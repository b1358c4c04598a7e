"""What a question costs and how its answer is made: quotes before, receipts after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ._amounts import show
from ._layout import html_heading, html_notes, html_table, text_table
from ._numbers import error, number, percent
from .budget import Balance
from .plan import Step


@dataclass(frozen=True)
class Price:
    """What a question costs, in both ledgers.

    Attributes:
        epsilon: Price in the pure ledger; None where the mechanism has no pure epsilon.
        rho: Price in the zCDP ledger.
        delta: Delta of the answer itself.
        part_of_grant: The part of the account's grant that it takes, by whichever ledger it takes
            less of: where it is 0.1, a grant buys ten. Infinite where neither takes it.
    """

    epsilon: Decimal | None
    rho: Decimal
    delta: Decimal
    part_of_grant: float = 0.0

    def __str__(self) -> str:
        amounts = [f"ρ = {show(self.rho)}"]
        if self.epsilon is not None:
            amounts.insert(0, f"ε = {show(self.epsilon)}")
        if self.delta:
            amounts.append(f"δ = {show(self.delta)}")
        known = 0 < self.part_of_grant < float("inf")
        part = f" ({100 * self.part_of_grant:.2g}% of the grant)" if known else ""
        return ", ".join(amounts) + part


@dataclass(frozen=True)
class NoisyColumn:
    """How one noisy column was, or would be, made.

    Attributes:
        name: Name of the column.
        mechanism: `discrete Laplace`, `discrete Gaussian`, or how the value is computed from such,
            in words: `post-processing` and the like.
        noise_scale: Scale of Laplace or standard deviation of Gaussian noise, or of a mean of
            draws, in the column's unit. None for post-processing.
        half_width: Half of the interval's width where that is the same in every row, in the
            column's unit; else None.
        has_interval: Whether the answer has an interval for this column.
        bounds: Per-unit, per-group bounds that the values are clamped to, in words.
        simultaneous: Whether the interval holds for all noisy values of the question together,
            because noisy values choose the rows (ORDER BY with LIMIT, HAVING).
    """

    name: str
    mechanism: str
    noise_scale: float | None
    half_width: float | None
    has_interval: bool
    bounds: str
    simultaneous: bool = False

    def _row(self) -> list[str]:
        if self.half_width is not None:
            width = f"± {error(self.half_width)}"
        else:
            width = "varies by row" if self.has_interval else "withheld"
        if self.simultaneous and self.has_interval:
            width += ", for all values together"
        scale = "–" if self.noise_scale is None else number(self.noise_scale)
        return [self.name, width, self.mechanism, scale, self.bounds]


@dataclass(frozen=True)
class ReleaseKey:
    """A key of a release.

    Attributes:
        expression: What it is, in terms of the tables' columns.
        public: Whether its values are public. Where one key's are not, the whole combination is
            private.
        values: Number of public values; None where they are private.
    """

    expression: str
    public: bool
    values: int | None


@dataclass(frozen=True)
class NoisyNumber:
    """A number per group to which noise is added. Columns of the answer are made of these.

    Attributes:
        quantity: What it counts or adds up: `sum of age`.
        mechanism: `discrete Laplace` or `discrete Gaussian`; of several draws that they are a mean.
        noise_scale: Scale of Laplace or standard deviation of Gaussian noise, or of a mean of
            draws.
        half_width: Half of the width of the noise's interval: the error to expect.
        lower: What one unit adds to one group is not below this.
        upper: Nor above this.
        share: Its share of the release's price.
        draws: Draws of which it is the mean; 1 unless it was refined.
    """

    quantity: str
    mechanism: str
    noise_scale: float
    half_width: float
    lower: float
    upper: float
    share: float = 1.0
    draws: int = 1


@dataclass(frozen=True)
class ChosenBound:
    """A bound that nobody declared, found out for a part of the price by noisy numbers of units.

    Attributes:
        what: For example `groups of one customer`.
        lower: None in a quote of what is still to be found.
        upper: Likewise.
        cut_off: The share of all contributions, or of all totals, that it cuts off: bias, which no
            interval covers.
        price: What finding it costs. None where it was paid for before.
        found_by_governance: Whether governance has found it for all accounts, and this account
            pays for it now.
    """

    what: str
    lower: float | None
    upper: float | None
    cut_off: float | None
    price: Price | None
    found_by_governance: bool = False

    def __str__(self) -> str:
        if self.lower is None or self.upper is None or self.cut_off is None:
            if self.found_by_governance:
                return f"{self.what}: found out by governance, shown once it is paid for"
            return f"{self.what}: found out by the question"
        cut_off = percent(round(self.cut_off, 4))
        return f"{self.what}: {self.lower:g} to {self.upper:g}, which cuts off about {cut_off}"


@dataclass(frozen=True)
class ReleaseNote:
    """One noisy table within a question.

    Attributes:
        max_groups_contributed: Groups that one privacy unit takes part in at most; None where that
            is still to be found out.
        max_rows_contributed: Rows that one privacy unit adds to one group at most; None where that
            is still to be found out.
        keys: How the keys were made public, in words.
        groups: Number of groups, all of which appear, empty ones too. None where keys are private:
            then how many appear is not known before.
        price: The share of the question's price.
        threshold: Where keys are private, the noisy number of distinct privacy units from which on
            a group appears; None where there is no such number.
        key_columns: Each key by itself.
        numbers: What noise is added to.
        summary: The release in words.
        max_rows_in_all_groups: Rows that one privacy unit has in all groups together at most, where
            the question limits them.
        choice: Which noise it has, and why, in words.
        chosen: Bounds that nobody declared and that the question finds, or found, out.
    """

    max_groups_contributed: int | None
    max_rows_contributed: int | None
    keys: str
    groups: int | None
    price: Price
    threshold: int | None = None
    key_columns: tuple[ReleaseKey, ...] = ()
    numbers: tuple[NoisyNumber, ...] = ()
    summary: str = ""
    max_rows_in_all_groups: int | None = None
    choice: str = ""
    chosen: tuple[ChosenBound, ...] = ()

    def describe(self) -> str:
        """One line: the groups, the contribution bounds, the draws and the share of the price."""
        if self.groups is None:
            groups = f"Groups by {self.keys}"
        else:
            groups = f"{_count(self.groups, 'group')}{f' ({self.keys})' if self.keys else ''}"
        rows = "with some rows"
        if self.max_rows_contributed is not None:
            rows = f"with at most {_count(self.max_rows_contributed, 'row')}"
        if self.max_rows_in_all_groups is not None:
            rows = _count(self.max_rows_in_all_groups, "row")
            limits = f"one privacy unit has at most {rows} in all groups together"
        elif self.groups == 1:
            limits = f"one privacy unit counts {rows}"
        else:
            most = self.max_groups_contributed
            some = "some" if most is None else f"at most {most:,}"
            limits = f"one privacy unit counts in {some} of them, {rows} in each"
        found = "".join(f" Bound of {bound}." for bound in self.chosen)
        # A refinement draws once more for every number, so one stands for all.
        draws = max((number.draws for number in self.numbers), default=1)
        mean = f" Mean of {draws} draws." if draws > 1 else ""
        return f"{groups}. Limits: {limits}.{found}{mean} Price: {self.price}"


@dataclass(frozen=True, repr=False)
class Quote:
    """What a question would cost and how accurate the answer would be. Nothing is charged for it.

    Attributes:
        price: What the answer would cost.
        columns: The noisy columns with their expected errors.
        releases: The noisy tables that the question is made of.
        confidence: Confidence of the intervals, for example 0.95.
        balance: The caller's balance now.
        affordable: Whether account and pool can pay this price now.
        plan: The steps of the question, as a tree; printing it draws it.
        question_digest: Digest of what is asked: texts that differ in names, white space, brackets,
            the order of conditions or the spelling of literals have one digest.
        advice: Where an accuracy was asked for that cannot be paid now: by how much, and what could
            be. Else empty.
        answered: Whether the account has an answer to this very question: asked again it costs
            nothing.
    """

    price: Price
    columns: tuple[NoisyColumn, ...]
    releases: tuple[ReleaseNote, ...]
    confidence: float
    balance: Balance
    affordable: bool
    plan: Step | None = None
    question_digest: str = ""
    advice: str = ""
    answered: bool = False

    def _notes(self) -> list[str]:
        verdict = "affordable" if self.affordable else "not affordable"
        left = f"Left: {self.balance.describe_left()} ({verdict})."
        notes = [*_notes(self.releases), left, *([f"{self.advice}."] if self.advice else [])]
        if self.answered:
            notes.append("Answered before: asked again it costs nothing.")
        return notes

    def __repr__(self) -> str:
        lines = [f"Quote: {self.price}", *_text_columns(self.columns, self.confidence)]
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self) -> str:
        heading = html_heading(f"Quote: {self.price}")
        return heading + _html_columns(self.columns, self.confidence) + html_notes(self._notes())


@dataclass(frozen=True, repr=False)
class Receipt:
    """What was paid and how the answer was made. Stored with the answer.

    Attributes:
        query_id: Id of the query that paid.
        dataset: Name of the dataset.
        principal: Who asked.
        purpose: Why.
        price: What was paid: for a refinement, for the further draw alone.
        columns: How each noisy column was made.
        releases: The noisy tables that the answer is made of.
        confidence: Confidence of the intervals, for example 0.95.
        policy_version: SHA-256 of the dataset's declaration that priced and bounded this answer.
        charged_at: When the charge became durable, in UTC.
        promise: What the promise does and does not cover, in words.
        question_digest: Digest of what was asked, as in the quote.
        refines: Query id of the answer that this one refines by one more draw; None where it
            refines none.
        governance_policy: SHA-256 of governance's policy under which it was admitted and charged;
            None where a receipt is from before there was one.
    """

    query_id: str
    dataset: str
    principal: str
    purpose: str
    price: Price
    columns: tuple[NoisyColumn, ...]
    releases: tuple[ReleaseNote, ...]
    confidence: float
    policy_version: str
    charged_at: datetime
    promise: str
    question_digest: str = ""
    refines: str | None = None
    governance_policy: str | None = None

    def _title(self) -> str:
        return f"Receipt: {self.price}"

    def _notes(self) -> list[str]:
        admitted = self.governance_policy
        governed = f", admitted by governance's policy {admitted}" if admitted else ""
        refines = f"Refines {self.refines} by one more draw, whose price this is."
        return [
            *_notes(self.releases),
            *([refines] if self.refines else []),
            f"Paid by {self.principal} for {self.dataset}, {self.purpose}, "
            f"on {self.charged_at:%Y-%m-%d at %H:%M:%S} UTC.",
            f"Query {self.query_id} under policy {self.policy_version}{governed}.",
            *([self.promise] if self.promise else []),
        ]

    def __repr__(self) -> str:
        lines = [self._title(), *_text_columns(self.columns, self.confidence)]
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self) -> str:
        heading = html_heading(self._title())
        return heading + _html_columns(self.columns, self.confidence) + html_notes(self._notes())


_RIGHT = [3]


def _headers(confidence: float) -> list[str]:
    return ["column", f"error at {percent(confidence)}", "mechanism", "noise scale", "bounds"]


def _text_columns(columns: tuple[NoisyColumn, ...], confidence: float) -> list[str]:
    rows = [column._row() for column in columns]
    return [text_table(_headers(confidence), rows, _RIGHT)] if rows else []


def _html_columns(columns: tuple[NoisyColumn, ...], confidence: float) -> str:
    rows = [column._row() for column in columns]
    return html_table(_headers(confidence), rows, _RIGHT) if rows else ""


def _notes(releases: tuple[ReleaseNote, ...]) -> list[str]:
    if not releases:
        return ["No private row is read: the answer is exact and free."]
    if len(releases) == 1:
        return [f"{releases[0].describe()}."]
    return [f"Release {number}: {note.describe()}." for number, note in enumerate(releases, 1)]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

"""Translation between the messages of the wire and the types of this library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Literal

from . import _amounts, _parameters
from ._generated import undertone_pb2 as pb
from .accuracy import Accuracy
from .answer import Answer
from .budget import AccountState, Balance, Guarantee, SharedAccount
from .catalog import Column, Dataset, Table
from .plan import Step, Visibility
from .pricing import (
    ChosenBound,
    NoisyColumn,
    NoisyNumber,
    Price,
    Quote,
    Receipt,
    ReleaseKey,
    ReleaseNote,
)

Mechanism = Literal["laplace", "gaussian", "automatic"]

_MECHANISMS = {
    None: pb.MECHANISM_UNSPECIFIED,
    "laplace": pb.MECHANISM_LAPLACE,
    "gaussian": pb.MECHANISM_GAUSSIAN,
    "automatic": pb.MECHANISM_AUTOMATIC,
}
_MECHANISM_NAMES = {number: name for name, number in _MECHANISMS.items() if name is not None}


def question(
    sql: str,
    *,
    dataset: str,
    purpose: str,
    epsilon: _amounts.Amount | None,
    delta: _amounts.Amount | None,
    accuracy: Accuracy | None,
    non_negative: bool,
    consistent: bool,
    mechanism: Mechanism | None,
    max_groups_contributed: int | None,
    max_rows_contributed: int | None,
    parameters: Iterable[_parameters.Parameter],
) -> pb.Question:
    """Build a question. None leaves a choice to the dataset.

    Raises:
        TypeError: Epsilon or delta is of a type that has no exact decimal form, or a parameter of
            one that no literal has.
        ValueError: There is no such mechanism, or a bound does not fit an unsigned 64-bit integer.
    """
    return pb.Question(
        dataset=dataset,
        sql=sql,
        purpose=purpose,
        epsilon=_amounts.to_wire(epsilon),
        delta=_amounts.to_wire(delta),
        max_groups_contributed=max_groups_contributed or 0,
        max_rows_contributed=max_rows_contributed or 0,
        mechanism=_mechanism(mechanism),
        parameters=_parameters.to_wire(parameters),
        non_negative=non_negative,
        consistent=consistent,
        accuracy=_accuracy(accuracy),
    )


def refinement(
    of: Answer | str,
    *,
    epsilon: _amounts.Amount | None,
    accuracy: Accuracy | None,
    mechanism: Mechanism | None,
) -> pb.Refinement:
    """Build what one more draw for an answer, or for that of a query id, is to be.

    Raises:
        TypeError: Epsilon is of a type that has no exact decimal form.
        ValueError: There is no such mechanism.
    """
    return pb.Refinement(
        of=of.query_id if isinstance(of, Answer) else of,
        epsilon=_amounts.to_wire(epsilon),
        accuracy=_accuracy(accuracy),
        mechanism=_mechanism(mechanism),
    )


def answer(message: pb.Answer) -> Answer:
    """Read an answer."""
    return Answer(
        query_id=message.query_id,
        table_ipc=message.table,
        intervals_ipc=message.intervals,
        receipt=_receipt(message.receipt),
        balance=balance(message.balance),
        replayed=message.replayed,
    )


def quote(message: pb.QuoteResponse) -> Quote:
    """Read a quote."""
    return Quote(
        price=_price(message.price),
        columns=tuple(map(_noisy_column, message.columns)),
        releases=tuple(map(_release, message.releases)),
        confidence=message.confidence,
        balance=balance(message.balance),
        affordable=message.affordable,
        plan=_step(message.plan) if message.HasField("plan") else None,
        question_digest=message.question_digest,
        advice=message.advice,
        answered=message.answered,
    )


def balance(message: pb.Balance) -> Balance:
    """Read a balance."""
    return Balance(
        dataset=message.dataset,
        principal=message.principal,
        purpose=message.purpose,
        account=_account_state(message.account),
        pool=_account_state(message.pool),
        frozen=message.frozen,
        frozen_because=message.frozen_because or None,
        shared=tuple(map(shared_account, message.shared)),
        pool_frozen_because=message.pool_frozen_because or None,
    )


def shared_account(message: pb.SharedAccount) -> SharedAccount:
    """Read an account that several pay with."""
    return SharedAccount(
        name=message.name,
        state=_account_state(message.state),
        frozen_because=message.frozen_because or None,
    )


def dataset(message: pb.Dataset) -> Dataset:
    """Read a dataset's description."""
    return Dataset(
        name=message.name,
        description=message.description,
        privacy_unit=message.privacy_unit,
        tables=tuple(map(_table, message.tables)),
        default_epsilon=_amounts.from_wire(message.default_epsilon),
        max_epsilon=_amounts.from_wire(message.max_epsilon),
        default_delta=_amounts.from_wire(message.default_delta or "0"),
        max_delta=_amounts.from_wire(message.max_delta or "0"),
        max_groups_contributed=message.max_groups_contributed or None,
        max_rows_contributed=message.max_rows_contributed or None,
        default_mechanism=_MECHANISM_NAMES.get(message.default_mechanism, "unknown"),
        policy_version=message.policy_version,
        purposes=tuple(message.purposes),
    )


def _mechanism(name: Mechanism | None) -> pb.Mechanism:
    if name not in _MECHANISMS:
        expected = "'laplace', 'gaussian', 'automatic' or None"
        raise ValueError(f"mechanism is {expected}, not {name!r}")
    return _MECHANISMS[name]


def _accuracy(wanted: Accuracy | None) -> pb.Accuracy | None:
    return pb.Accuracy(**asdict(wanted)) if wanted else None


def _receipt(message: pb.Receipt) -> Receipt:
    return Receipt(
        query_id=message.query_id,
        dataset=message.dataset,
        principal=message.principal,
        purpose=message.purpose,
        price=_price(message.price),
        columns=tuple(map(_noisy_column, message.columns)),
        releases=tuple(map(_release, message.releases)),
        confidence=message.confidence,
        policy_version=message.policy_version,
        charged_at=moment(message.charged_at),
        promise=message.promise,
        question_digest=message.question_digest,
        refines=message.refines or None,
        governance_policy=message.governance_policy or None,
    )


def _price(message: pb.Price) -> Price:
    return Price(
        epsilon=_amounts.optional_from_wire(message.epsilon),
        rho=_amounts.from_wire(message.rho),
        delta=_amounts.from_wire(message.delta),
        part_of_grant=message.part_of_grant,
    )


def _noisy_column(message: pb.NoisyColumn) -> NoisyColumn:
    return NoisyColumn(
        name=message.name,
        mechanism=message.mechanism,
        noise_scale=message.noise_scale or None,
        half_width=message.half_width or None,
        has_interval=message.has_interval,
        bounds=message.bounds,
        simultaneous=message.simultaneous,
    )


def _release(message: pb.ReleaseNote) -> ReleaseNote:
    return ReleaseNote(
        max_groups_contributed=message.max_groups_contributed or None,
        max_rows_contributed=message.max_rows_contributed or None,
        keys=message.keys,
        groups=message.groups or None,
        threshold=message.threshold or None,
        price=_price(message.price),
        key_columns=tuple(
            ReleaseKey(key.expression, key.public, key.values or None)
            for key in message.key_columns
        ),
        numbers=tuple(
            NoisyNumber(
                quantity=n.quantity,
                mechanism=n.mechanism,
                noise_scale=n.noise_scale,
                half_width=n.half_width,
                lower=n.lower,
                upper=n.upper,
                share=n.share,
                draws=n.draws or 1,  # Receipts from before refinements say nothing.
            )
            for n in message.numbers
        ),
        summary=message.summary,
        max_rows_in_all_groups=message.max_rows_in_all_groups or None,
        choice=message.choice,
        chosen=tuple(
            ChosenBound(
                what=bound.what,
                lower=bound.lower if bound.known else None,
                upper=bound.upper if bound.known else None,
                cut_off=bound.cut_off if bound.known else None,
                price=_price(bound.price) if bound.HasField("price") else None,
                found_by_governance=bound.found_by_governance,
            )
            for bound in message.chosen
        ),
    )


_VISIBILITIES: dict[int, Visibility] = {
    pb.VISIBILITY_PRIVATE: "private",
    pb.VISIBILITY_RELEASE: "release",
    pb.VISIBILITY_PUBLIC: "public",
    pb.VISIBILITY_POST_PROCESSING: "post-processing",
}


def _step(message: pb.Step) -> Step:
    return Step(
        visibility=_VISIBILITIES.get(message.visibility, "unknown"),
        text=message.text,
        inputs=tuple(map(_step, message.inputs)),
        release=message.release or None,
    )


def _account_state(message: pb.AccountState) -> AccountState:
    return AccountState(
        granted_epsilon=_amounts.from_wire(message.granted_epsilon),
        granted_delta=_amounts.from_wire(message.granted_delta),
        spent_epsilon=_amounts.optional_from_wire(message.spent_epsilon),
        remaining_epsilon=_amounts.optional_from_wire(message.remaining_epsilon),
        spent_rho=_amounts.from_wire(message.spent_rho),
        rho_limit=_amounts.from_wire(message.rho_limit),
        spent_delta=_amounts.from_wire(message.spent_delta),
        charges=message.charges,
        window=message.window or None,
        window_began=_optional_moment(message.window_began),
        window_ends=_optional_moment(message.window_ends),
        lifetime_epsilon=_amounts.optional_from_wire(message.lifetime_epsilon),
        lifetime_rho=_amounts.from_wire(message.lifetime_rho),
        lifetime_delta=_amounts.from_wire(message.lifetime_delta),
        lifetime_charges=message.lifetime_charges,
        loss=_loss(message),
        expires_at=_optional_moment(message.expires_at),
        max_epsilon=_amounts.optional_from_wire(message.max_epsilon),
        default_epsilon=_amounts.optional_from_wire(message.default_epsilon),
        reserved=_amounts.from_wire(message.reserved),
        kept_epsilon=_amounts.from_wire(message.kept_epsilon),
        kept_rho=_amounts.from_wire(message.kept_rho),
    )


def _loss(message: pb.AccountState) -> Guarantee | None:
    if not message.loss_epsilon:
        return None
    epsilon = _amounts.from_wire(message.loss_epsilon)
    return Guarantee(epsilon, _amounts.from_wire(message.loss_delta))


def moment(seconds: int) -> datetime:
    """Read a moment, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc)


def _optional_moment(seconds: int) -> datetime | None:
    """Read a moment that may be absent, which 0 says."""
    return moment(seconds) if seconds else None


def _table(message: pb.Table) -> Table:
    return Table(
        name=message.name,
        description=message.description,
        protected=message.protected,
        columns=tuple(map(_column, message.columns)),
    )


def _column(message: pb.Column) -> Column:
    return Column(
        name=message.name,
        description=message.description,
        type=message.type,
        privacy_unit=message.privacy_unit,
        lower=message.lower if message.HasField("lower") else None,
        upper=message.upper if message.HasField("upper") else None,
        domain=message.domain,
        tier=message.tier,
    )

"""Translation between the messages of governance and audit and the types of this library."""

from __future__ import annotations

import json
from typing import Any

from . import _amounts
from ._generated import undertone_pb2 as pb
from ._wire import balance, moment, shared_account
from .audit import Head, LogEntry
from .budget import Accounts
from .policy import (
    AccountChange,
    Edit,
    Effect,
    Holder,
    MoreBudget,
    Move,
    NewPolicy,
    Policy,
    PolicyVersion,
    Revoke,
    Simulation,
    Terms,
)
from .proposals import Opinion, Proposal


def edit(change: Edit) -> pb.Edit:
    """Build a change of the policy.

    Raises:
        TypeError: It is none, or an amount of it is of a type that has no exact decimal form.
    """
    if isinstance(change, NewPolicy):
        return pb.Edit(policy=pb.NewPolicy(text=change.text, based_on=change.based_on))
    if isinstance(change, MoreBudget):
        budget = pb.Budget(
            principal=change.principal,
            dataset=change.dataset,
            purpose=change.purpose,
            epsilon=_amounts.to_wire(change.epsilon),
            delta=_amounts.to_wire(change.delta),
        )
        return pb.Edit(budget=budget)
    if isinstance(change, Move):
        move = pb.Move(
            dataset=change.dataset,
            to=_holder_message(change.target),
            epsilon=_amounts.to_wire(change.epsilon),
            delta=_amounts.to_wire(change.delta),
            **{"from": _holder_message(change.source)},  # A keyword of Python.
        )
        return pb.Edit(move=move)
    if isinstance(change, Revoke):
        revoke = pb.Revoke(
            principal=change.principal, dataset=change.dataset, purpose=change.purpose
        )
        return pb.Edit(revoke=revoke)
    raise TypeError(
        f"a change is a NewPolicy, MoreBudget, Move or Revoke, not {type(change).__name__}"
    )


def accounts(message: pb.ListAccountsResponse) -> Accounts:
    """Read all accounts."""
    return Accounts(
        balances=tuple(map(balance, message.balances)),
        shared=tuple(map(shared_account, message.shared)),
    )


def policy(message: pb.GetPolicyResponse) -> Policy:
    """Read a policy."""
    return Policy(policy_version(message.version), message.text)


def policy_version(message: pb.PolicyVersion) -> PolicyVersion:
    """Read a version of the policy."""
    return PolicyVersion(
        version=message.version,
        hash=message.hash,
        at=moment(message.at),
        author=message.author,
        approved_by=tuple(message.approved_by),
        reason=message.reason,
    )


def simulation(message: pb.SimulateResponse) -> Simulation:
    """Read what a change would do."""
    return Simulation(_effect(message.effect), message.text, message.based_on)


def proposal(message: pb.Proposal) -> Proposal:
    """Read a proposal."""
    return Proposal(
        id=message.id,
        at=moment(message.at),
        author=message.author,
        reason=message.reason,
        edit=_edit(message.edit),
        state=message.state,
        approvals=message.approvals,
        opinions=tuple(
            Opinion(said.who, said.approves, said.reason, moment(said.at))
            for said in message.opinions
        ),
        effect=_effect(message.effect) if message.HasField("effect") else None,
        obstacle=message.obstacle or None,
    )


def head(message: pb.GetHeadResponse) -> Head:
    """Read the end of the audit log."""
    return Head(message.entries, message.hash)


def log_entry(message: pb.AuditEntry) -> LogEntry:
    """Read an entry of the audit log."""
    return LogEntry(
        seq=message.seq,
        at=moment(message.at),
        kind=message.kind,
        body=message.body,
        previous=message.previous,
        hash=message.hash,
    )


def _edit(message: pb.Edit) -> Edit | None:
    kind = message.WhichOneof("kind")
    if kind == "policy":
        return NewPolicy(message.policy.text, message.policy.based_on)
    if kind == "budget":
        budget = message.budget
        return MoreBudget(
            principal=budget.principal,
            dataset=budget.dataset,
            purpose=budget.purpose,
            epsilon=_amounts.from_wire(budget.epsilon),
            delta=_amounts.from_wire(budget.delta),
        )
    if kind == "move":
        move = message.move
        return Move(
            dataset=move.dataset,
            source=_holder(getattr(move, "from")),
            target=_holder(move.to),
            epsilon=_amounts.from_wire(move.epsilon),
            delta=_amounts.from_wire(move.delta),
        )
    if kind == "revoke":
        revoke = message.revoke
        return Revoke(revoke.dataset, revoke.principal, revoke.purpose)
    return None


def _holder(message: pb.Holder) -> Holder:
    return Holder(message.principal, message.purpose, message.team)


def _holder_message(holder: Holder) -> pb.Holder:
    return pb.Holder(principal=holder.principal, purpose=holder.purpose, team=holder.team)


def _effect(message: pb.Effect) -> Effect:
    return Effect(
        accounts=tuple(
            AccountChange(
                account=change.account,
                before=_terms(change.before),
                after=_terms(change.after),
                remaining_before=_amounts.from_wire(change.remaining_before),
                remaining_after=_amounts.from_wire(change.remaining_after),
                overdrawn=change.overdrawn,
            )
            for change in message.accounts
        ),
        rules=tuple(message.rules),
        approvals=message.approvals,
        diff=message.diff,
        based_on=message.based_on,
    )


def _terms(text: str) -> Terms | None:
    """Read a grant with its terms, JSON that is empty where there is none."""
    if not text:
        return None
    terms: dict[str, Any] = json.loads(text)
    expires_at = terms.pop("expires_at", None)
    return Terms(
        epsilon=_amounts.from_wire(terms.pop("epsilon", "")),
        delta=_amounts.from_wire(terms.pop("delta", "")),
        team=terms.pop("team", None),
        max_epsilon=_amounts.optional_from_wire(terms.pop("max_epsilon", "")),
        default_epsilon=_amounts.optional_from_wire(terms.pop("default_epsilon", "")),
        window=terms.pop("window", None),
        expires_at=None if expires_at is None else moment(expires_at),
        reserved=_amounts.from_wire(terms.pop("reserved", "")),
        others=tuple((name, json.dumps(value)) for name, value in terms.items()),
    )

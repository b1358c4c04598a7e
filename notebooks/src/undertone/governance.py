"""Setting budgets and rules, and reading the audit log. Nobody sees data or answers here."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from . import _wire_governance as _wire
from ._amounts import Amount
from ._caller import Caller, who_and_where
from ._channel import open_channel
from ._generated import undertone_pb2 as pb
from ._generated.undertone_pb2_grpc import AuditServiceStub, GovernanceServiceStub
from ._listing import Listing
from .audit import Head, LogEntry
from .budget import Accounts
from .policy import Edit, Holder, Move, Policy, PolicyVersion, Revoke, Simulation
from .proposals import Proposal


def govern(
    url: str | None = None,
    token: str | None = None,
    *,
    timeout: float | None = None,
    insecure: bool = False,
) -> Governance:
    """Get a client for governance or an auditor. The connection is made by the first call.

    Args:
        url: Where the server is, as for `connect`. `UNDERTONE_URL` from the environment unless
            given.
        token: Who calls. `UNDERTONE_TOKEN` from the environment unless given.
        timeout: Seconds that one call may take, retries included. None: no limit.
        insecure: Allow the token to travel in plain text to another machine. Only where the way
            there is protected by other means.

    Raises:
        ValueError: The address or the token is missing or malformed, or the token would travel in
            plain text.
    """
    endpoint, token = who_and_where(url, token, insecure=insecure)
    return Governance(open_channel(endpoint), token, address=endpoint.authority, timeout=timeout)


class Governance(Caller):
    """Governs one server, or audits it. Made by `govern`; may be shared by threads.

    What changes something needs the role governance. What only reads needs that role or an
    auditor's; `head` and `log` need an auditor's.

    Every method raises `UndertoneError`, or a subclass that tells more, if its call fails:
    `NotPermittedError` where the caller does not have the role. A call that only reads and broke on
    the way is tried a few times more first. One that changes something is sent once: where no
    answer comes, the error says how to find out whether it arrived.

    Args:
        channel: Channel to the server. Closed together with this.
        token: Bearer token of the caller.
        address: What to call the server in messages.
        timeout: Seconds that one call may take, retries included. None: no limit.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        token: str,
        *,
        address: str,
        timeout: float | None = None,
    ) -> None:
        super().__init__(channel, token, address=address, timeout=timeout)
        self._governance = GovernanceServiceStub(channel)
        self._audit = AuditServiceStub(channel)

    def accounts(self, dataset: str | None = None) -> Accounts:
        """See all accounts with their balances, and the pools, teams and tiers behind them.

        Args:
            dataset: Only those of this dataset. None: all.
        """
        request = pb.ListAccountsRequest(dataset=dataset or "")
        return _wire.accounts(self._unary(self._governance.ListAccounts, request))

    def policy(self, version: int = 0) -> Policy:
        """Read the policy in force, or an earlier version of it.

        Args:
            version: Its number. 0: the one in force.
        """
        request = pb.GetPolicyRequest(version=version)
        return _wire.policy(self._unary(self._governance.GetPolicy, request))

    def policies(self) -> Listing[PolicyVersion]:
        """See all versions of the policy, the newest first, without their text."""
        response = self._unary(self._governance.ListPolicies, pb.ListPoliciesRequest())
        return Listing(map(_wire.policy_version, response.versions))

    def simulate(self, edit: Edit) -> Simulation:
        """See what a change would do to the accounts that there are. Changes nothing.

        Args:
            edit: The change: a `MoreBudget`, `Move` or `Revoke`, or what `Policy.edited` makes.

        Raises:
            PolicyChangedError: The policy that the edit was made from is not in force any more.
            UndertoneError: Anything else.
            TypeError: It is no change, or an amount of it has no exact decimal form.
        """
        request = pb.SimulateRequest(edit=_wire.edit(edit))
        # An edit of a policy that is over does not get better by waiting.
        final = ["POLICY_CHANGED"]
        return _wire.simulation(self._unary(self._governance.Simulate, request, final=final))

    def propose(self, edit: Edit, reason: str) -> Proposal:
        """Propose a change. It is in force once as many others as it needs have approved it.

        Args:
            edit: The change: a `MoreBudget`, `Move` or `Revoke`, or what `Policy.edited` makes.
            reason: Why. Governance and auditors read it.

        Raises:
            PolicyChangedError: The policy that the edit was made from is not in force any more.
            UndertoneError: Anything else.
            TypeError: It is no change, or an amount of it has no exact decimal form.
        """
        request = pb.ProposeRequest(edit=_wire.edit(edit), reason=reason)
        response = self._once(self._governance.Propose, request, lost=_LOST_PROPOSAL)
        return _wire.proposal(response.proposal)

    def move(
        self,
        dataset: str,
        source: Holder | str,
        target: Holder | str,
        *,
        epsilon: Amount,
        delta: Amount = 0,
        reason: str,
    ) -> Proposal:
        """Propose to move a part of a grant that was not spent to another one.

        Args:
            dataset: Dataset of both grants.
            source: Whose grant is to be less: `PRINCIPAL/PURPOSE` or `team:NAME`.
            target: Whose grant is to be more, likewise.
            epsilon: How much epsilon.
            delta: How much delta.
            reason: Why. Governance and auditors read it.

        Raises:
            UndertoneError: There is no such grant, or so much of it was not left, or anything else.
            ValueError: A holder is written in another way.
            TypeError: Epsilon or delta is of a type that has no exact decimal form.
        """
        source = Holder.of(source) if isinstance(source, str) else source
        target = Holder.of(target) if isinstance(target, str) else target
        return self.propose(Move(dataset, source, target, epsilon, delta), reason)

    def revoke(self, dataset: str, principal: str, purpose: str, reason: str) -> Proposal:
        """Propose to end a grant. What was spent stays spent.

        Args:
            dataset: Dataset of the grant.
            principal: Whose grant.
            purpose: Purpose of the grant.
            reason: Why. Governance and auditors read it.
        """
        return self.propose(Revoke(dataset, principal, purpose), reason)

    def proposals(self, open: bool = True) -> Listing[Proposal]:
        """See proposals and requests for budgets, the newest first, with what each would do.

        Args:
            open: Only those that wait for approval. False: all.
        """
        request = pb.ListProposalsRequest(open=open)
        response = self._unary(self._governance.ListProposals, request)
        return Listing(map(_wire.proposal, response.proposals))

    def approve(self, proposal: Proposal | int, reason: str) -> Proposal:
        """Approve somebody else's proposal. The last approval that it needs puts it in force.

        An approval counts for the policy in force alone: after another change it has to be given
        again.

        Args:
            proposal: The proposal, whose effect is approved as it was seen; or its number.
            reason: Why. Governance and auditors read it.

        Raises:
            NotPermittedError: It is the caller's own, or the caller is not governance.
            PolicyChangedError: The policy changed at the same moment: look at the proposal anew.
            UndertoneError: It is not open, cannot be carried out, or anything else.
        """
        return self._decide(proposal, True, reason)

    def reject(self, proposal: Proposal | int, reason: str) -> Proposal:
        """Reject a proposal, which closes it.

        Args:
            proposal: The proposal, or its number.
            reason: Why. Governance and auditors read it.
        """
        return self._decide(proposal, False, reason)

    def freeze(self, dataset: str, holder: str | None, reason: str) -> None:
        """Stop all accounts of a holder on a dataset at once. Stored answers stay readable.

        Args:
            dataset: Name of the dataset.
            holder: A principal, `team:NAME` or `tier:NAME`. None: everybody.
            reason: Why. Those who are stopped read it, and so do governance and auditors.

        Raises:
            UndertoneError: There is no such holder, or it is frozen for this reason already, or
                anything else.
            ValueError: The holder is empty.
        """
        self._freeze(dataset, holder, reason, lift=False)

    def lift(self, dataset: str, holder: str | None, reason: str) -> None:
        """Let those go on whom governance froze. The arguments and errors are those of `freeze`."""
        self._freeze(dataset, holder, reason, lift=True)

    def head(self) -> Head:
        """Read how many entries the audit log has, and the hash of the last one."""
        return _wire.head(self._unary(self._audit.GetHead, pb.GetHeadRequest()))

    def log(self, from_: int = 1) -> Iterator[LogEntry]:
        """Read the audit log, entry by entry. The call is made when the first one is asked for.

        Args:
            from_: Number of the first entry. Where the connection breaks, the one after the last
                that came goes on.
        """
        request = pb.ReadLogRequest(**{"from": from_})  # A keyword of Python.
        entries = self._audit.ReadLog(request, timeout=self._timeout, metadata=self._metadata)
        try:
            for entry in entries:
                yield _wire.log_entry(entry)
        except grpc.RpcError as failure:
            raise self._error(failure) from failure
        finally:
            entries.cancel()  # Lets go of a log that was not read to its end.

    def _decide(self, proposal: Proposal | int, approve: bool, reason: str) -> Proposal:
        number = proposal.id if isinstance(proposal, Proposal) else proposal
        seen = proposal.effect if isinstance(proposal, Proposal) else None
        based_on = seen.based_on if approve and seen is not None else ""
        request = pb.DecideRequest(
            proposal=number, approve=approve, reason=reason, based_on=based_on
        )
        response = self._once(self._governance.Decide, request, lost=_LOST_PROPOSAL)
        return _wire.proposal(response.proposal)

    def _freeze(self, dataset: str, holder: str | None, reason: str, *, lift: bool) -> None:
        if holder == "":
            raise ValueError("name the holder, or pass None for everybody on the dataset")
        request = pb.FreezeRequest(dataset=dataset, holder=holder or "", reason=reason, lift=lift)
        lost = "Governance.accounts() shows whether it arrived"
        self._once(self._governance.Freeze, request, lost=lost)


_LOST_PROPOSAL = "Governance.proposals(open=False) shows whether it arrived"

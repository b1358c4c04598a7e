from datetime import datetime, timezone
from decimal import Decimal

import grpc
import pytest

import fake as wire
import undertone
from fake import Failure
from undertone import (
    Holder,
    MoreBudget,
    Move,
    NewPolicy,
    NotPermittedError,
    PolicyChangedError,
    Revoke,
    Terms,
    UndertoneError,
    _retry,
    _wire_governance,
)
from undertone._generated import undertone_pb2 as pb

AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
LOST = Failure(grpc.StatusCode.UNAVAILABLE, "gone")


def read(**changes):
    return _wire_governance.proposal(wire.proposal(**changes))


def test_accounts(fake, governance):
    accounts = governance.accounts()
    assert fake.calls[0].metadata["authorization"] == "Bearer secret"
    assert fake.calls[0].request == pb.ListAccountsRequest()
    assert accounts.balances[0].principal == "ana"
    assert accounts.shared[0].state.remaining_epsilon == Decimal("9.5")
    lines = repr(accounts).splitlines()
    assert lines[0].split("  ")[0] == "account"
    assert lines[2].startswith("ana for testing on shop  ε 10, δ 1e-6     9.5  nothing ")
    assert lines[2].endswith("ε 10, δ 1e-6; 9.5 left  open")
    assert lines[3].startswith("pool of shop ")
    assert "<td" in accounts._repr_html_()
    governance.accounts("shop")
    assert fake.calls[1].request == pb.ListAccountsRequest(dataset="shop")


def test_what_is_said_of_each_account():
    def row(balance):
        listed = pb.ListAccountsResponse(balances=[balance])
        return repr(_wire_governance.accounts(listed)).splitlines()[2]

    state = wire.account()
    lost = pb.AccountState(lifetime_charges=3, loss_epsilon="2.5", loss_delta="0.000001")
    ends = pb.AccountState(window="monthly", window_ends=1_701_388_800, expires_at=4_102_444_800)
    for more in (lost, ends):
        state.MergeFrom(more)
    shown = row(pb.Balance(account=state, pool=wire.account()))
    assert "ε 2.5, δ 1e-6        3  2023-12-01 (monthly)" in shown
    assert shown.endswith("open until 2099-12-31")
    state.expires_at = 1_704_067_200
    assert row(pb.Balance(account=state)).endswith("ended after 2023-12-31")
    state.loss_epsilon = ""
    assert "no bound" in row(pb.Balance(account=state))
    assert row(pb.Balance(account=state, frozen_because="a drill")).endswith("frozen: a drill")
    assert row(pb.Balance(frozen=True)).endswith("frozen: a charged question failed")


def test_policies(fake, governance):
    policy = governance.policy()
    assert fake.calls[0].request == pb.GetPolicyRequest(version=0)
    assert (policy.version.version, policy.version.at) == (2, AT)
    assert policy.version.approved_by == ("gus",)
    line = (
        "Policy 2 (0123456789abcdef), in force from 2023-11-14 22:13 UTC: "
        "by gina, approved by gus: a new year"
    )
    assert repr(policy) == f"{line}\n\n# Ours.\n"
    governance.policy(1)
    assert fake.calls[1].request == pb.GetPolicyRequest(version=1)
    versions = governance.policies()
    assert repr(versions) == line
    assert line in versions._repr_html_()


def test_every_edit_reaches_the_server_and_comes_back(fake, governance):
    edits = {
        governance.policy().edited("# New.\n"): pb.Edit(
            policy=pb.NewPolicy(text="# New.\n", based_on=wire.VERSION.hash)
        ),
        MoreBudget("ben", "shop", "testing", Decimal("0.5"), Decimal("1e-7")): pb.Edit(
            budget=pb.Budget(
                principal="ben", dataset="shop", purpose="testing", epsilon="0.5", delta="1e-7"
            )
        ),
        Move("shop", Holder("ana", "testing"), Holder(team="growth"), Decimal(2), Decimal(0)): (
            pb.Edit(
                move=pb.Move(
                    dataset="shop",
                    to=pb.Holder(team="growth"),
                    epsilon="2",
                    delta="0",
                    **{"from": pb.Holder(principal="ana", purpose="testing")},
                )
            )
        ),
        Revoke("shop", "ben", "testing"): pb.Edit(
            revoke=pb.Revoke(principal="ben", dataset="shop", purpose="testing")
        ),
    }
    for edit, message in edits.items():
        assert governance.propose(edit, "why").edit == edit
        assert fake.calls[-1].request == pb.ProposeRequest(edit=message, reason="why")
        governance.simulate(edit)
        assert fake.calls[-1].request == pb.SimulateRequest(edit=message)
    assert list(map(str, edits)) == [
        "another policy, made from 0123456789abcdef",
        "ε 0.5, δ 1e-7 more for ben for testing on shop",
        "ε 2 of ana for testing to team growth on shop",
        "the end of the grant of ben for testing on shop",
    ]


@pytest.mark.parametrize("call", ["simulate", "propose"])
def test_a_text_alone_is_no_edit(fake, governance, call):
    with pytest.raises(TypeError, match="not str"):
        getattr(governance, call)("# New.\n", *["why"] * (call == "propose"))
    assert fake.calls == []


def test_move_and_revoke(fake, governance):
    governance.move("shop", "ana/testing", "team:growth", epsilon=0.5, reason="x")
    governance.move(
        "shop", Holder("ana", "testing"), Holder(team="growth"), epsilon=0.5, reason="x"
    )
    one, two = (call.request for call in fake.calls)
    assert one == two
    assert one.edit.move == pb.Move(
        dataset="shop",
        to=pb.Holder(team="growth"),
        epsilon="0.5",
        delta="0",
        **{"from": pb.Holder(principal="ana", purpose="testing")},
    )
    with pytest.raises(ValueError, match="'ana' is neither PRINCIPAL/PURPOSE nor team:NAME"):
        governance.move("shop", "ana", "team:growth", epsilon=0.5, reason="x")
    governance.revoke("shop", "ben", "testing", "left")
    assert fake.calls[-1].request == pb.ProposeRequest(
        edit=pb.Edit(revoke=pb.Revoke(principal="ben", dataset="shop", purpose="testing")),
        reason="left",
    )


def test_an_effect(governance):
    simulation = governance.simulate(Revoke("shop", "ben", "testing"))
    (change,) = simulation.effect.accounts
    assert change.before == Terms(Decimal("0.5"), Decimal("0.000001"))
    assert (change.remaining_before, change.remaining_after) == (Decimal("0.25"), Decimal("1.25"))
    assert simulation.text == "# Ours.\n"
    assert repr(simulation).splitlines() == [
        "account               grant before   grant after    ε left before  ε left after",
        "--------------------  -------------  -------------  -------------  ------------",
        "the account of 'ben'  ε 0.5, δ 1e-6  ε 1.5, δ 1e-6           0.25          1.25",
        "Needs 1 approval of others than its author.",
    ]
    assert "ε 1.5, δ 1e-6" in simulation._repr_html_()


def test_an_effect_on_more_than_amounts():
    after = (
        '{"delta":"0","epsilon":"2","default_epsilon":"0.1","expires_at":1704067200,'
        '"max_epsilon":"1","mood":["fine"],"reserved":"0.25","team":"growth","window":"monthly"}'
    )
    changes = [
        pb.AccountChange(account="one", after=after, remaining_after="2"),
        pb.AccountChange(account="two", before='{"delta":"0","epsilon":"2"}', overdrawn=True),
    ]
    effect = pb.Effect(
        accounts=changes, rules=["tier 'health' of dataset 'shop': new"], approvals=2
    )
    one, two = read(effect=effect).effect.accounts
    assert one.before is None and two.after is None
    assert one.after.expires_at == datetime(2024, 1, 1, tzinfo=timezone.utc)
    assert str(one.after) == (
        "ε 2, δ 0, monthly, until 2023-12-31, team growth, at most ε 1 a question, "
        'ε 0.1 by default, 25% of the pool reserved, mood ["fine"]'
    )
    lines = repr(read(effect=effect)).splitlines()
    assert lines[3].endswith("note")
    assert lines[6].endswith("has spent more than that")
    assert lines[7:] == [
        "Tier 'health' of dataset 'shop': new.",
        "Needs 2 approvals of others than its author.",
    ]
    nothing = read(effect=pb.Effect(approvals=1)).effect
    assert repr(nothing).splitlines()[0] == "No account changes."
    assert "<table>" not in nothing._repr_html_()


def test_proposals(fake, governance):
    (proposal,) = governance.proposals()
    assert fake.calls[0].request == pb.ListProposalsRequest(open=True)
    assert proposal.effect is not None
    assert "grant after" in repr(proposal) and "grant after" in proposal._repr_html_()
    governance.proposals(open=False)
    assert fake.calls[1].request == pb.ListProposalsRequest(open=False)


def test_a_proposal_that_cannot_be_carried_out():
    proposal = read(obstacle="the policy <changed>")
    assert proposal.obstacle == "the policy <changed>"
    assert repr(proposal).endswith("\nCannot be carried out now: the policy <changed>")
    assert "&lt;changed&gt;" in proposal._repr_html_()


def test_a_kind_of_change_from_a_later_version():
    proposal = read(edit=pb.Edit())
    assert proposal.edit is None
    assert "does not know" in repr(proposal)


def test_decisions(fake, governance):
    (proposal,) = governance.proposals()
    approved = governance.approve(proposal, "fine")
    rejected = governance.reject(7, "too much")
    assert [call.request for call in fake.calls[1:]] == [
        pb.DecideRequest(proposal=3, approve=True, reason="fine"),
        pb.DecideRequest(proposal=7, approve=False, reason="too much"),
    ]
    assert (approved.state, rejected.state) == ("approved", "rejected")
    assert approved.opinions[0].approves and not rejected.opinions[0].approves
    assert "approved, 1 of 1 approval\n" in repr(approved)
    assert repr(rejected).endswith("\nRejected by gina, 2023-11-14 22:13 UTC: too much")


def test_freezing(fake, governance):
    governance.freeze("shop", "team:growth", "a drill")
    governance.lift("shop", None, "it is over")
    assert [call.request for call in fake.calls] == [
        pb.FreezeRequest(dataset="shop", holder="team:growth", reason="a drill"),
        pb.FreezeRequest(dataset="shop", reason="it is over", lift=True),
    ]
    with pytest.raises(ValueError, match="None for everybody"):
        governance.freeze("shop", "", "a slip")
    assert len(fake.calls) == 2


def test_the_log(fake, governance):
    head = governance.head()
    assert (head.entries, head.hash) == (3, "03")
    entries = list(governance.log())
    assert getattr(fake.calls[1].request, "from") == 1
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.previous for entry in entries] == ["00", "01", "02"]
    assert entries[0].details == {"dataset": "shop", "seq": 1}
    assert repr(entries[-1]) == ('3  2023-11-14 22:13:20 UTC  grant  {"dataset":"shop","seq":3}')
    assert [entry.seq for entry in governance.log(3)] == [3]


def test_a_log_that_is_not_read_to_its_end(fake, governance):
    log = governance.log()
    assert next(log).seq == 1
    log.close()
    assert governance.head().entries == 3


def test_a_log_that_may_not_be_read(fake, governance):
    fake.failures.append(Failure(grpc.StatusCode.PERMISSION_DENIED, "no", "NOT_PERMITTED"))
    log = governance.log()
    assert fake.calls == []
    with pytest.raises(NotPermittedError, match=r"^no$"):
        next(log)


@pytest.mark.parametrize(
    "call",
    [
        lambda governance: governance.accounts(),
        lambda governance: governance.policy(),
        lambda governance: governance.policies(),
        lambda governance: governance.simulate(Revoke("shop", "ben", "testing")),
        lambda governance: governance.proposals(),
        lambda governance: governance.head(),
    ],
)
def test_reading_is_repeated(fake, governance, monkeypatch, call):
    monkeypatch.setattr(_retry, "FIRST_PAUSE", 0.01)
    fake.failures.append(LOST)
    call(governance)
    assert len(fake.calls) == 2


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda governance: governance.propose(Revoke("shop", "ben", "t"), "x"), "proposals"),
        (lambda governance: governance.revoke("shop", "ben", "t", "x"), "proposals"),
        (lambda governance: governance.approve(3, "x"), "proposals"),
        (lambda governance: governance.reject(3, "x"), "proposals"),
        (lambda governance: governance.freeze("shop", "ben", "x"), "accounts"),
        (lambda governance: governance.lift("shop", "ben", "x"), "accounts"),
    ],
)
def test_a_change_that_may_have_arrived_is_not_made_again(fake, governance, call, hint):
    fake.failures.append(LOST)
    with pytest.raises(UndertoneError, match=rf"gone \(Governance\.{hint}\(.*shows whether"):
        call(governance)
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda governance: governance.simulate(NewPolicy("", "old")),
        lambda governance: governance.propose(NewPolicy("", "old"), "x"),
        lambda governance: governance.approve(3, "x"),
    ],
)
def test_an_edit_of_a_policy_that_is_over_is_made_anew(fake, governance, call):
    fake.failures.append(Failure(grpc.StatusCode.UNAVAILABLE, "anew", "POLICY_CHANGED"))
    with pytest.raises(PolicyChangedError, match=r"^anew$"):
        call(governance)
    assert len(fake.calls) == 1


def test_govern_reads_the_environment_and_shows_no_token(fake, monkeypatch):
    monkeypatch.setenv("UNDERTONE_URL", fake.url)
    monkeypatch.setenv("UNDERTONE_TOKEN", "from-the-environment\n")
    with undertone.govern() as governance:
        governance.head()
    assert fake.calls[0].metadata["authorization"] == "Bearer from-the-environment"
    assert repr(governance) == f"Governance({fake.url.removeprefix('http://')!r})"
    with pytest.raises(ValueError, match="plain text"):
        undertone.govern("http://example.org", "secret")

"""Budgets, governance and audit against the real server.

In the order of the file: what one test grants or freezes, the next ones find.
"""

from decimal import Decimal
from itertools import pairwise

import pytest

from real import DATASET, PURPOSE
from undertone import (
    FrozenError,
    MoreBudget,
    NotPermittedError,
    PolicyChangedError,
    Terms,
    UndertoneError,
)

SQL = "SELECT COUNT(*) AS n FROM orders"


@pytest.fixture(scope="module")
def governed(server, tmp_path_factory):
    """A server of its own: others rely on how little ben may spend."""
    with server.another(tmp_path_factory.mktemp("governed"), customers=100) as other:
        yield other


@pytest.fixture
def ana(governed):
    with governed.connect("ana") as client:
        yield client


@pytest.fixture
def ben(governed):
    with governed.connect("ben") as client:
        yield client


@pytest.fixture
def gina(governed):
    """Governance."""
    with governed.govern("gina") as governance:
        yield governance


@pytest.fixture
def gus(governed):
    """Governance too."""
    with governed.govern("gus") as governance:
        yield governance


@pytest.fixture
def audrey(governed):
    """An auditor."""
    with governed.govern("audrey") as governance:
        yield governance


def balance_of(client):
    (balance,) = client.budget(DATASET)
    return balance


def test_a_budget_is_asked_for_and_granted(ben, gina):
    before = balance_of(ben)
    assert before.account.granted_epsilon == Decimal("0.5")
    asked = ben.request_budget(epsilon="0.25", delta="1e-7", justification="more regions")
    assert (asked.author, asked.state, asked.approvals) == ("ben", "open", 1)
    assert asked.edit == MoreBudget("ben", DATASET, PURPOSE, Decimal("0.25"), Decimal("1e-7"))
    assert ben.requests() == [asked]
    assert balance_of(ben) == before

    (waiting,) = gina.proposals()
    assert (waiting.id, waiting.reason) == (asked.id, "more regions")
    (change,) = waiting.effect.accounts
    assert change.before == Terms(Decimal("0.5"), Decimal("0.000001"))
    assert change.after == Terms(Decimal("0.75"), Decimal("0.0000011"))
    assert (change.remaining_before, change.remaining_after) == (Decimal("0.5"), Decimal("0.75"))

    approved = gina.approve(waiting, "it is worth it")
    assert approved.state == "approved"
    assert [opinion.who for opinion in approved.opinions] == ["gina"]
    assert gina.proposals() == []
    after = balance_of(ben).account
    assert (after.granted_epsilon, after.granted_delta) == (Decimal("0.75"), Decimal("0.0000011"))
    assert after.remaining_epsilon == Decimal("0.75")
    (request,) = ben.requests()
    assert request.state == "approved" and request.opinions == approved.opinions
    assert "Approved by gina" in repr(request)


def test_a_request_needs_a_justification_and_an_analyst(ben, governed):
    with pytest.raises(UndertoneError, match="reason") as caught:
        ben.request_budget(epsilon="0.25", justification=" ")
    assert caught.value.code == "INVALID_REQUEST"
    with governed.connect("gina") as gina, pytest.raises(NotPermittedError, match="analyst"):
        gina.request_budget(epsilon="0.25", justification="why not")


def test_nobody_approves_what_is_their_own(gina, gus):
    before = gina.policy().version
    own = gina.propose(MoreBudget("ben", DATASET, PURPOSE, "0.25"), "for ben")
    with pytest.raises(NotPermittedError, match="somebody else than its author"):
        gina.approve(own, "I agree with myself")
    assert gina.policy().version == before
    assert gus.approve(own.id, "I agree").state == "approved"
    version = gina.policy().version
    assert version.version == before.version + 1
    assert (version.author, version.approved_by, version.reason) == ("gina", ("gus",), "for ben")
    assert [one.version for one in gina.policies()] == list(range(version.version, 0, -1))
    with pytest.raises(UndertoneError, match="approved already") as caught:
        gus.approve(own, "again")
    assert caught.value.code == "INVALID_REQUEST"


def test_a_proposal_is_rejected(ben, gina, gus):
    before = balance_of(ben)
    own = gina.move(DATASET, f"ana/{PURPOSE}", f"ben/{PURPOSE}", epsilon=2, reason="for ben")
    assert len(own.effect.accounts) == 2
    assert gus.reject(own, "too much").state == "rejected"
    assert balance_of(ben) == before
    assert gina.proposals() == []
    assert own.id in [proposal.id for proposal in gina.proposals(open=False)]


def test_a_part_of_a_grant_is_moved(ana, ben, gina, gus):
    granted = [balance_of(client).account.granted_epsilon for client in (ana, ben)]
    gus.approve(gina.move(DATASET, f"ana/{PURPOSE}", f"ben/{PURPOSE}", epsilon=2, reason="x"), "y")
    moved = [balance_of(client).account.granted_epsilon for client in (ana, ben)]
    assert moved == [granted[0] - 2, granted[1] + 2]


def test_another_policy(ana, gina, gus):
    policy = gina.policy()
    text = policy.text.replace(
        'purpose = "service-quality"',
        'purpose = "service-quality"\nwindow = "monthly"\nuntil = 2099-12-31\nmax_epsilon = "1"',
        1,
    )
    edit = policy.edited(text)
    simulation = gina.simulate(edit)
    assert (simulation.text, simulation.based_on) == (text, policy.version.hash)
    (change,) = simulation.effect.accounts
    assert change.before.window is None and change.after.window == "monthly"
    assert "monthly, until 2099-12-31, at most ε 1 a question" in repr(simulation)
    assert gina.policy() == policy

    assert gus.approve(gina.propose(edit, "by the month"), "fine").state == "approved"
    assert gina.policy().text == text
    assert gina.policy(policy.version.version) == policy
    for again in (lambda: gina.simulate(edit), lambda: gina.propose(edit, "by the month")):
        with pytest.raises(PolicyChangedError):
            again()

    answer = ana.query(SQL, epsilon="0.5", mechanism="laplace")
    assert answer.receipt.governance_policy == gina.policy().version.hash
    balance = balance_of(ana)
    account = balance.account
    assert account.window == "monthly"
    assert account.window_began < account.window_ends
    assert (account.window_ends.day, account.window_ends.hour) == (1, 0)
    assert (account.charges, account.lifetime_charges) == (1, 1)
    assert account.spent_epsilon == account.lifetime_epsilon == Decimal("0.5")
    assert account.loss is not None and 0 < account.loss.epsilon <= Decimal("0.5")
    assert account.max_epsilon == 1 and not account.expired
    assert "in each month" in repr(balance) and "until 2099-12-31" in repr(balance)
    with pytest.raises(UndertoneError) as caught:
        ana.quote(SQL, epsilon="1.5")
    assert caught.value.code == "EPSILON_ABOVE_MAXIMUM"


def test_what_is_frozen_asks_nothing_until_it_is_lifted(ben, gina):
    paid = ben.query(SQL, epsilon="0.1", mechanism="laplace")
    gina.freeze(DATASET, "ben", "a drill")
    balance = balance_of(ben)
    assert balance.frozen_because == "a drill" and balance.stopped and not balance.frozen
    assert "Frozen by governance: a drill" in repr(balance)
    assert "frozen: a drill" in repr(gina.accounts())
    with pytest.raises(FrozenError, match="a drill"):
        ben.query(SQL, epsilon="0.1", fresh=True)
    assert ben.answer(paid.query_id).table_ipc == paid.table_ipc
    gina.lift(DATASET, "ben", "it is over")
    assert not balance_of(ben).stopped
    assert not ben.query(SQL, epsilon="0.1", mechanism="laplace", fresh=True).replayed


def test_a_tier_pays_beside_an_account(ben):
    (shop,) = ben.datasets()
    columns = {
        (table.name, column.name)
        for table in shop.tables
        for column in table.columns
        if column.tier == "sensitive"
    }
    table, column = min(columns)
    quote = ben.quote(f"SELECT COUNT({column}) AS n FROM {table}", epsilon="0.1")
    (tier,) = quote.balance.shared
    assert tier.name == "tier sensitive"
    assert tier.state.granted_epsilon == 10
    assert "tier sensitive" in repr(quote.balance)


def test_everybody_is_seen_by_governance_and_auditors(gina, audrey):
    accounts = gina.accounts(DATASET)
    assert {balance.principal for balance in accounts.balances} == {"ana", "ben"}
    assert {account.name for account in accounts.shared} == {
        "pool of shop",
        "tier sensitive of shop",
    }
    assert audrey.accounts() == accounts
    assert audrey.policy() == gina.policy()
    with pytest.raises(NotPermittedError):
        audrey.propose(MoreBudget("ben", DATASET, PURPOSE, 1), "why not")


def test_the_log_is_a_chain_up_to_its_head(audrey):
    head = audrey.head()
    entries = list(audrey.log())
    assert [entry.seq for entry in entries] == list(range(1, head.entries + 1))
    assert entries[-1].hash == head.hash
    for before, after in pairwise(entries):
        assert after.previous == before.hash
        assert after.at >= before.at
    kinds = [entry.kind for entry in entries]
    assert {"policy", "grant", "proposal", "approval", "rejection", "charge"} <= set(kinds)
    asked = entries[kinds.index("proposal")]
    assert asked.details["who"] == "ben" and asked.details["reason"] == "more regions"
    assert [entry.seq for entry in audrey.log(head.entries)] == [head.entries]


@pytest.mark.parametrize("who", ["gina", "ana"])
def test_the_log_is_for_auditors(governed, who):
    with governed.govern(who) as other:
        for call in (other.head, lambda: list(other.log())):
            with pytest.raises(NotPermittedError, match="auditor"):
                call()


@pytest.mark.parametrize(
    "call",
    [
        lambda ana: ana.accounts(),
        lambda ana: ana.policy(),
        lambda ana: ana.policies(),
        lambda ana: ana.proposals(),
        lambda ana: ana.simulate(MoreBudget("ana", DATASET, PURPOSE, 1)),
        lambda ana: ana.propose(MoreBudget("ana", DATASET, PURPOSE, 1), "why not"),
        lambda ana: ana.approve(1, "why not"),
        lambda ana: ana.reject(1, "why not"),
        lambda ana: ana.freeze(DATASET, "ben", "why not"),
        lambda ana: ana.lift(DATASET, "ben", "why not"),
        lambda ana: ana.move(DATASET, f"ben/{PURPOSE}", f"ana/{PURPOSE}", epsilon=1, reason="x"),
        lambda ana: ana.revoke(DATASET, "ben", PURPOSE, "why not"),
    ],
)
def test_analysts_do_not_govern(governed, call):
    with (
        governed.govern("ana") as ana,
        pytest.raises(NotPermittedError, match="needs the role governance") as caught,
    ):
        call(ana)
    assert caught.value.code == "NOT_PERMITTED"


def test_governance_asks_no_questions(governed):
    with governed.connect("gina") as gina:
        assert gina.budget() == []
        with pytest.raises(UndertoneError) as caught:
            gina.query(SQL, epsilon="0.1")
        assert caught.value.code == "UNKNOWN_DATASET"


def test_a_grant_ends(ben, gina, gus):
    gus.approve(gina.revoke(DATASET, "ben", PURPOSE, "ben has left"), "a pity")
    assert ben.budget() == []
    with pytest.raises(UndertoneError):
        ben.query(SQL, epsilon="0.1")
    # Who may ask again asks as somebody without a grant, and so not at all.
    with pytest.raises(NotPermittedError):
        ben.request_budget(epsilon=1, justification="I am back")

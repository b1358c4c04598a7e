from datetime import datetime, timezone
from decimal import Decimal

import grpc
import pytest

import fake as wire
import undertone
from fake import Failure
from undertone import Guarantee, MoreBudget, NotPermittedError, UndertoneError, _wire
from undertone._generated import undertone_pb2 as pb


def state(**changes):
    """The fake's account with more to say."""
    account = wire.account()
    account.MergeFrom(pb.AccountState(**changes))
    return account


def balance(**changes):
    fields = {
        "dataset": "shop",
        "principal": "ana",
        "purpose": "testing",
        "account": wire.account(),
        "pool": wire.account(),
    }
    return _wire.balance(pb.Balance(**(fields | changes)))


MONTHLY = state(
    window="monthly",
    window_began=1_698_796_800,
    window_ends=1_701_388_800,
    lifetime_epsilon="12",
    lifetime_rho="3",
    lifetime_delta="0",
    lifetime_charges=24,
    loss_epsilon="11.5",
    loss_delta="0.0000005",
)


def test_an_account_with_windows():
    shown = balance(account=MONTHLY)
    account = shown.account
    assert account.window == "monthly"
    assert account.window_began == datetime(2023, 11, 1, tzinfo=timezone.utc)
    assert account.window_ends == datetime(2023, 12, 1, tzinfo=timezone.utc)
    assert (account.lifetime_epsilon, account.lifetime_rho) == (Decimal(12), Decimal(3))
    assert (account.charges, account.lifetime_charges) == (1, 24)
    assert account.loss == Guarantee(Decimal("11.5"), Decimal("0.0000005"))
    assert account.granted == Guarantee(Decimal(10), Decimal("0.000001"))
    notes = [
        "What this account learns is private at ε 10, δ 1e-6 in each month, "
        "at ε 11.5, δ 5e-7 in all so far; what all accounts learn together at ε 10, δ 1e-6.",
        "This account is monthly: the next window begins on 2023-12-01, UTC.",
    ]
    assert repr(shown).splitlines()[-2:] == notes
    assert "<br>".join(notes) in shown._repr_html_()


def test_a_window_in_which_nothing_was_spent_yet():
    began = state(window="weekly", window_ends=1_701_388_800)
    assert "in each week; what all accounts learn" in repr(balance(account=began))


def test_the_plain_case_has_no_notes():
    shown = balance()
    assert len(repr(shown).splitlines()) == 5
    assert "<small>" not in shown._repr_html_()
    account = shown.account
    assert (account.window, account.window_ends, account.expires_at) == (None, None, None)
    assert (account.max_epsilon, account.default_epsilon, account.loss) == (None, None, None)
    assert account.reserved == account.kept_epsilon == account.kept_rho == 0
    assert not account.expired and not shown.stopped


def test_a_closed_pure_ledger_tells_what_was_lost():
    closed = state(loss_epsilon="0.75", loss_delta="0.0000005")
    closed.spent_epsilon = ""
    pool = state(loss_epsilon="1.25", loss_delta="0.000005")
    text = repr(balance(account=closed, pool=pool))
    assert text.endswith(
        "\nWhat this account has learned so far is private at ε 0.75, δ 5e-7; "
        "what all have learned at ε 1.25, δ 5e-6."
    )


def test_what_governance_set_is_told():
    account = state(
        expires_at=1_704_067_200,
        max_epsilon="1",
        default_epsilon="0.1",
        reserved="0.25",
    )
    shown = balance(account=account)
    assert shown.account.expired
    assert repr(shown).splitlines()[5:] == [
        "This account could be used until 2023-12-31, UTC.",
        "One question may ask for ε 1 at most.",
        "A question that does not say asks for ε 0.1.",
        "This account has 25% of the pool for itself.",
    ]
    lasting = state(expires_at=4_102_444_800)
    assert "This account may be used until 2099-12-31, UTC." in repr(balance(account=lasting))


def test_what_is_kept_for_others_is_not_left():
    pool = state(kept_epsilon="3", kept_rho="0.5")
    shown = balance(pool=pool)
    assert shown.pool.remaining_rho == Decimal("0.875")
    assert repr(shown).endswith("\nKept for others in the pool: ε 3 and ρ 0.5.")
    pool = state(kept_epsilon="0", kept_rho="0.5")
    assert repr(balance(pool=pool)).endswith("\nKept for others in the pool: ρ 0.5.")


def test_accounts_that_pay_the_same():
    team = pb.SharedAccount(name="team growth", state=wire.account(epsilon="1", rho="1.4"))
    shown = balance(shared=[team])
    assert shown.shared[0].name == "team growth"
    rows = [line.split("  ")[0] for line in repr(shown).splitlines()[3:]]
    assert rows == ["this account", "team growth", "the dataset's pool"]
    assert shown.describe_left().endswith("; in team growth ε 1 of 10, or ρ 0.1 of 1.5")


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"frozen": True}, "Frozen: a charged question failed; an operator has to look into it."),
        ({"frozen_because": "a drill"}, "Frozen by governance: a drill"),
        (
            {
                "shared": [
                    pb.SharedAccount(
                        name="team growth", state=wire.account(), frozen_because="a leak"
                    )
                ]
            },
            "Governance has frozen team growth: a leak",
        ),
    ],
)
def test_what_is_frozen_says_why(changes, note):
    shown = balance(**changes)
    assert shown.stopped
    assert shown.frozen is changes.get("frozen", False)
    assert shown.frozen_because == changes.get("frozen_because")
    assert repr(shown).splitlines()[0] == "Budget of ana for shop, testing, frozen"
    assert repr(shown).splitlines()[-1] == note
    assert note in shown._repr_html_()
    assert "(frozen)" in shown.describe_left()


def test_a_request_for_a_budget(fake, client):
    made = client.request_budget(epsilon="0.5", delta=Decimal("1e-7"), justification="more regions")
    assert fake.calls[0].request == pb.RequestBudgetRequest(
        dataset="shop",
        purpose="testing",
        epsilon="0.5",
        delta="1e-7",
        justification="more regions",
    )
    assert (made.id, made.author, made.state, made.approvals) == (3, "ben", "open", 1)
    assert made.edit == MoreBudget("ben", "shop", "testing", Decimal(1))
    assert made.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
    assert made.effect is None and made.obstacle is None
    assert repr(made).splitlines() == [
        "Proposal 3 of ben, 2023-11-14 22:13 UTC: open, 0 of 1 approval",
        "ε 1 more for ben for testing on shop",
        "Because: more regions",
    ]
    client.request_budget(epsilon=1, justification="x", dataset="other", purpose="fun")
    assert fake.calls[1].request == pb.RequestBudgetRequest(
        dataset="other", purpose="fun", epsilon="1", justification="x"
    )


def test_requests(fake, client):
    (request,) = client.requests()
    assert request.id == 3
    assert "more regions" in client.requests()._repr_html_()


def test_a_request_needs_a_dataset_and_a_purpose(fake):
    with undertone.connect(fake.url, "secret") as client:
        with pytest.raises(ValueError, match="no dataset"):
            client.request_budget(epsilon=1, justification="x", purpose="testing")
        with pytest.raises(ValueError, match="no purpose"):
            client.request_budget(epsilon=1, justification="x", dataset="shop")
    assert fake.calls == []


def test_a_request_that_may_have_arrived_is_not_sent_again(fake, client):
    fake.failures.append(Failure(grpc.StatusCode.UNAVAILABLE, "gone"))
    with pytest.raises(UndertoneError, match=r"gone \(Client\.requests\(\) shows"):
        client.request_budget(epsilon=1, justification="x")
    assert len(fake.calls) == 1


def test_a_request_that_is_not_permitted(fake, client):
    fake.failures.append(Failure(grpc.StatusCode.PERMISSION_DENIED, "no", "NOT_PERMITTED"))
    with pytest.raises(NotPermittedError, match=r"^no$"):
        client.request_budget(epsilon=1, justification="x")

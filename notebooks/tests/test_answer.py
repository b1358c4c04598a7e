from datetime import datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pytest

import fake as wire
from undertone import _wire


def make(**changes):
    return _wire.answer(wire.answer(**changes))


def test_table_and_intervals():
    answer = make()
    assert answer.table.equals(wire.TABLE)
    assert answer.intervals.equals(wire.INTERVALS)
    assert answer.table_ipc == wire.ipc(wire.TABLE)


def test_intervals_stand_beside_their_columns():
    answer = make()
    joined = answer.to_arrow()
    assert joined.column_names == ["region", "n", "n_lower", "n_upper"]
    assert joined.schema.field("n_upper").type == pa.int64()
    assert joined.column("n_upper").to_pylist() == [1246, 15]
    assert answer.to_arrow(intervals=False).equals(wire.TABLE)


def test_pandas():
    pytest.importorskip("pandas")
    answer = make()
    assert answer.to_pandas().columns.tolist() == ["region", "n", "n_lower", "n_upper"]
    assert answer.to_pandas(intervals=False).n.tolist() == [1234, 3]


def test_repr():
    assert repr(make(query_id="q7")).splitlines() == [
        "region           n",
        "------  ----------",
        "north   1,234 ± 12",
        "south    3 [0, 15]",
        "",
        "Each error bar covers the noise at 95% confidence, not what the limits cut off.",
        "Price ε = 0.5, ρ = 0.125. Left: ε 9.5 of 10, or ρ 1.375 of 1.5. Query q7.",
    ]


def test_a_replay_says_that_nothing_was_paid():
    assert "Price paid earlier: ε = 0.5, ρ = 0.125; nothing now." in repr(make(replayed=True))


def test_the_pool_is_named_where_it_is_the_tighter():
    balance = wire.pb.Balance(account=wire.account(), pool=wire.account(epsilon="0", rho="1.5"))
    assert "in the dataset's pool ε 0 of 10, or ρ 0 of 1.5." in repr(make(balance=balance))


def test_a_closed_pure_ledger():
    state = wire.account(epsilon="")
    state.spent_epsilon = ""
    balance = _wire.balance(wire.pb.Balance(account=state, pool=state))
    assert balance.account.remaining_epsilon is None
    assert balance.account.spent_epsilon is None
    assert balance.describe_left() == "ρ 1.375 of 1.5"
    assert balance.account.share_left == pytest.approx(1.375 / 1.5)
    assert "–" in repr(balance)


def test_html():
    html = make()._repr_html_()
    assert '<td style="text-align: right">1,234 ± 12</td>' in html
    assert '<td style="text-align: left">north</td>' in html
    assert "Left: ε 9.5 of 10" in html


def test_html_is_escaped():
    table = pa.table({"<b>": ["<script>"], "n": [1]})
    html = make(table=wire.ipc(table), intervals=b"")._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html


def test_long_answers_are_cut():
    table = pa.table({"n": list(range(1025))})
    lines = repr(make(table=wire.ipc(table), intervals=b"")).splitlines()
    assert lines[2:22] == [f"{n:>2}" for n in range(20)]
    assert lines[23] == "… 1,005 more rows"


def test_columns_without_intervals():
    answer = make(intervals=b"")
    assert answer.intervals.num_columns == 0
    assert answer.to_arrow().equals(wire.TABLE)
    assert "1,234\n" in repr(answer)
    assert "error bar" not in repr(answer)


def test_noise_free_integers_have_no_separators():
    table = pa.table({"year": [2023], "n": [2023]})
    assert "2023  2,023" in repr(make(table=wire.ipc(table), intervals=b""))


def test_empty_answers():
    answer = make(table=wire.ipc(wire.TABLE[:0]), intervals=wire.ipc(wire.INTERVALS[:0]))
    assert repr(answer).startswith("region  n\n")
    assert "<tbody></tbody>" in answer._repr_html_()


def test_receipt():
    receipt = make().receipt
    assert receipt.price.epsilon == Decimal("0.5")
    assert receipt.charged_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
    assert repr(receipt).splitlines() == [
        "Receipt: ε = 0.5, ρ = 0.125",
        "column  error at 95%  mechanism         noise scale  bounds",
        "------  ------------  ----------------  -----------  ------",
        "n       ± 12          discrete Laplace            4  0 to 1",
        "2 groups (declared). Limits: one privacy unit counts in at most 1 of them, "
        "with at most 3 rows in each. Price: ε = 0.5, ρ = 0.125.",
        "Paid by ana for shop, testing, on 2023-11-14 at 22:13:20 UTC.",
        "Query q under policy 5eed.",
        "It covers this.",
    ]
    assert "It covers this." in receipt._repr_html_()


def test_the_receipt_names_the_policy_that_admitted():
    receipt = _wire.answer(wire.answer(receipt=wire.receipt(governance_policy="c0de"))).receipt
    assert receipt.governance_policy == "c0de"
    assert "Query q under policy 5eed, admitted by governance's policy c0de." in repr(receipt)
    assert make().receipt.governance_policy is None


def test_the_receipt_of_a_refinement():
    refined = wire.receipt("q8", refines="<q7>", releases=[wire.REFINED_RELEASE])
    receipt = _wire.answer(wire.answer(receipt=refined)).receipt
    assert receipt.refines == "<q7>"
    assert receipt.releases[0].numbers[0].draws == 2
    assert repr(receipt).splitlines()[4:6] == [
        "2 groups (declared). Limits: one privacy unit counts in at most 1 of them, "
        "with at most 3 rows in each. Mean of 2 draws. Price: ε = 0.5, ρ = 0.125.",
        "Refines <q7> by one more draw, whose price this is.",
    ]
    html = receipt._repr_html_()
    assert "Mean of 2 draws." in html
    assert "Refines &lt;q7&gt; by one more draw" in html


@pytest.mark.parametrize("draws", [0, 1])
def test_a_number_that_was_not_refined_is_of_one_draw(draws):
    # Receipts that were stored before there were refinements have 0.
    release = wire.pb.ReleaseNote(numbers=[wire.pb.NoisyNumber(draws=draws)])
    receipt = _wire.answer(wire.answer(receipt=wire.receipt(releases=[release]))).receipt
    assert receipt.refines is None
    assert receipt.releases[0].numbers[0].draws == 1
    assert "draw" not in repr(receipt)


def test_several_releases_are_numbered():
    one_row = wire.pb.ReleaseNote(
        max_groups_contributed=1, max_rows_contributed=1, groups=1, price=wire.PRICE
    )
    receipt = _wire.answer(
        wire.answer(receipt=wire.receipt(releases=[wire.RELEASE, one_row]))
    ).receipt
    assert "\nRelease 1: 2 groups (declared). " in repr(receipt)
    assert "\nRelease 2: 1 group. Limits: one privacy unit counts with at most 1 row. " in repr(
        receipt
    )


def test_a_question_about_public_tables_alone():
    price = wire.pb.Price(epsilon="0", rho="0", delta="0")
    receipt = _wire.answer(
        wire.answer(receipt=wire.receipt(price=price, columns=[], releases=[]))
    ).receipt
    assert repr(receipt).splitlines()[:2] == [
        "Receipt: ε = 0, ρ = 0",
        "No private row is read: the answer is exact and free.",
    ]
    assert "<table>" not in receipt._repr_html_()


def test_a_price_without_pure_epsilon():
    price = wire.pb.Price(epsilon="", rho="0.01", delta="1e-9")
    receipt = _wire.answer(wire.answer(receipt=wire.receipt(price=price))).receipt
    assert receipt.price.epsilon is None
    assert str(receipt.price) == "ρ = 0.01, δ = 1e-9"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"half_width": 0, "has_interval": True}, "varies by row"),
        ({"half_width": 0, "has_interval": False}, "withheld"),
    ],
)
def test_errors_that_are_not_the_same_everywhere(changes, text):
    column = wire.pb.NoisyColumn(name="mean", mechanism="post-processing", **changes)
    receipt = _wire.answer(wire.answer(receipt=wire.receipt(columns=[column]))).receipt
    assert receipt.columns[0].noise_scale is None
    assert text in repr(receipt)

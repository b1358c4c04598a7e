"""The client against the real server. Every question that must be charged is asked only once."""

import signal
from decimal import Decimal

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import undertone
from real import DATASET, PURPOSE
from undertone import Accuracy, AuthError, BudgetError, Position, RefusedError, UndertoneError

CUSTOMERS = 2000


def balance_of(client):
    (balance,) = (one for one in client.budget(DATASET) if one.purpose == PURPOSE)
    return balance


def test_the_catalogue(ana):
    (shop,) = (dataset for dataset in ana.datasets() if dataset.name == DATASET)
    tables = {table.name: table for table in shop.tables}
    assert tables.keys() >= {"customers", "orders", "tickets", "categories"}
    assert tables["orders"].protected
    assert not tables["categories"].protected
    orders = {column.name: column for column in tables["orders"].columns}
    assert (orders["amount"].lower, orders["amount"].upper) == (0, 500)
    assert orders["customer_id"].privacy_unit
    assert orders["category"].domain
    assert not orders["ordered_on"].privacy_unit
    assert orders["ordered_on"].domain == "parts of dates from 2025-01-01 to 2025-12-31"
    assert PURPOSE in shop.purposes
    assert len(shop.policy_version) == 64


def test_a_count(ana):
    sql = "SELECT COUNT(*) AS n FROM customers"
    answer = ana.query(sql, epsilon="0.5", mechanism="laplace", max_rows_contributed=1)
    assert answer.table.column_names == ["n"]
    assert answer.table.num_rows == 1
    (count,) = answer.table.column("n").to_pylist()
    assert count == pytest.approx(CUSTOMERS, abs=200)
    assert answer.receipt.principal == "ana"
    assert (answer.receipt.dataset, answer.receipt.purpose) == (DATASET, PURPOSE)
    assert answer.receipt.price.epsilon == Decimal("0.5")
    assert answer.receipt.query_id == answer.query_id
    assert not answer.replayed


def test_groups_with_intervals(ana):
    answer = ana.query(
        "SELECT region, COUNT(*) AS n FROM customers GROUP BY region",
        epsilon="0.5",
        max_groups_contributed=1,
        max_rows_contributed=1,
    )
    (release,) = answer.receipt.releases
    assert answer.table.column_names == ["region", "n"]
    assert answer.table.num_rows == release.groups > 1
    assert answer.intervals.column_names == ["n_lower", "n_upper"]
    assert answer.intervals.num_rows == answer.table.num_rows
    assert answer.to_arrow().column_names == ["region", "n", "n_lower", "n_upper"]
    rows = answer.to_arrow().to_pylist()
    assert len({row["region"] for row in rows}) == len(rows)
    for row in rows:
        assert row["n_lower"] <= row["n"] <= row["n_upper"]
        assert 0 < row["n_upper"] - row["n_lower"] < CUSTOMERS / 10
    assert sum(row["n"] for row in rows) == pytest.approx(CUSTOMERS, abs=200)
    assert 0.5 < answer.receipt.confidence < 1
    assert "±" in repr(answer)


def test_a_quote_is_the_price_and_the_budget_falls_by_it(ana):
    question = {
        "sql": "SELECT category, SUM(quantity) AS units FROM orders GROUP BY category",
        "epsilon": "0.25",
        "mechanism": "laplace",
    }
    before = balance_of(ana)
    quote = ana.quote(**question)
    assert quote.affordable and quote.price.epsilon == Decimal("0.25")
    assert balance_of(ana) == before == quote.balance

    answer = ana.query(**question)
    assert not answer.replayed
    assert answer.receipt.price == quote.price
    assert answer.receipt.columns == quote.columns
    assert answer.receipt.releases == quote.releases

    after = balance_of(ana)
    assert after == answer.balance
    for name in ("account", "pool"):
        was, is_now = getattr(before, name), getattr(after, name)
        assert is_now.remaining_epsilon < was.remaining_epsilon
        assert is_now.spent_rho - was.spent_rho == quote.price.rho
        assert is_now.charges == was.charges + 1


def test_an_answer_is_fetched_again_for_nothing(ana):
    sql = "SELECT AVG(amount) AS amount FROM orders"
    paid = ana.query(sql, epsilon="0.25", query_id="average-amount")
    assert paid.query_id == "average-amount"
    after = balance_of(ana)

    by_id = ana.answer("average-amount")
    retried = ana.query(sql, epsilon="0.25", query_id="average-amount")
    asked_again = ana.query(sql, epsilon="0.25")
    for answer in (by_id, retried, asked_again):
        assert answer.replayed
        assert answer.table_ipc == paid.table_ipc
        assert answer.intervals_ipc == paid.intervals_ipc
        assert answer.receipt == paid.receipt
    assert balance_of(ana) == after


@pytest.mark.parametrize("rows", [10, 1])
def test_the_limits_do_not_move_an_average(server, ana, rows):
    # Orders cost the same whoever places them, so the average over some of a customer's orders is
    # the average over all.
    amounts = pq.read_table(server.directory / "data" / "orders").column("amount")
    truth = pc.mean(pc.min_element_wise(amounts, 500)).as_py()
    sql = "SELECT AVG(amount) AS amount FROM orders"
    answer = ana.query(sql, epsilon="0.5", max_rows_contributed=rows)
    (row,) = answer.to_arrow().to_pylist()
    assert row["amount_lower"] <= row["amount"] <= row["amount_upper"]
    assert row["amount_upper"] - row["amount_lower"] < 25
    assert row["amount"] == pytest.approx(truth, abs=10)


def test_a_fresh_draw_is_paid_for(ana):
    sql = "SELECT SUM(amount) AS amount FROM orders"
    first = ana.query(sql, epsilon="0.1")
    second = ana.query(sql, epsilon="0.1", fresh=True)
    assert not second.replayed
    assert second.query_id != first.query_id
    assert second.balance.account.charges == first.balance.account.charges + 1


def width_of(answer):
    (row,) = answer.to_arrow().to_pylist()
    return row["n_upper"] - row["n_lower"]


def test_an_answer_is_refined(tmp_path, server):
    # A server of its own, whose pure ledger no Gaussian noise has closed: that counts epsilons.
    with server.another(tmp_path, customers=CUSTOMERS) as other, other.connect("ana") as ana:
        sql = "SELECT COUNT(*) AS n FROM customers"
        first = ana.query(sql, epsilon="0.5", mechanism="laplace", max_rows_contributed=1)
        assert first.receipt.refines is None
        assert first.receipt.releases[0].numbers[0].draws == 1

        draw = {"epsilon": "0.5", "mechanism": "laplace"}
        quote = ana.quote_refinement(first, **draw)
        assert quote.affordable and quote.price.epsilon == Decimal("0.5")
        assert balance_of(ana) == quote.balance == first.balance

        refined = ana.refine(first, **draw)
        assert not refined.replayed
        assert refined.query_id == refined.receipt.query_id != first.query_id
        assert refined.receipt.refines == first.query_id
        assert refined.receipt.price == quote.price
        assert refined.receipt.releases[0].numbers[0].draws == 2
        assert "Mean of 2 draws." in repr(refined.receipt)
        assert 0 < width_of(refined) < width_of(first)
        (count,) = refined.table.column("n").to_pylist()
        assert count == pytest.approx(CUSTOMERS, abs=200)
        paid = balance_of(ana)
        assert paid == refined.balance
        for state in (paid.account, paid.pool):
            assert (state.spent_epsilon, state.charges) == (Decimal(1), 2)

        for again in (ana.refine(first.query_id, **draw), ana.answer(refined.query_id)):
            assert again.replayed
            assert again.table.equals(refined.table)
            assert again.table_ipc == refined.table_ipc
            assert again.intervals_ipc == refined.intervals_ipc
            assert again.receipt == refined.receipt
        assert balance_of(ana) == paid

        third = ana.refine(refined, epsilon="1", mechanism="laplace")
        assert third.receipt.refines == refined.query_id
        assert third.receipt.releases[0].numbers[0].draws == 3
        assert width_of(third) < width_of(refined)
        assert balance_of(ana).account.spent_epsilon == Decimal(2)


def test_an_error_is_asked_for_in_a_refinement(ana):
    sql = "SELECT COUNT(*) AS n FROM customers"
    first = ana.query(sql, epsilon="0.3", mechanism="laplace", max_rows_contributed=1)
    # A share of the first answer's value, which is known by now.
    (count,) = first.table.column("n").to_pylist()
    wanted = Accuracy(relative_error=0.004)
    quote = ana.quote_refinement(first, accuracy=wanted, mechanism="laplace")
    assert 0 < quote.columns[0].half_width <= 0.004 * count < first.receipt.columns[0].half_width
    same = Accuracy(relative_error=0.004, magnitude=count)
    assert ana.quote_refinement(first, accuracy=same, mechanism="laplace").price == quote.price
    with pytest.raises(UndertoneError, match="already") as caught:
        ana.quote_refinement(first, accuracy=Accuracy(200))
    assert caught.value.code == "INVALID_REQUEST"
    # A question has no value yet.
    with pytest.raises(UndertoneError, match="needs the magnitude") as caught:
        ana.quote(sql, accuracy=wanted)
    assert caught.value.code == "INVALID_REQUEST"


def test_some_answers_cannot_be_refined(ana):
    median = ana.query("SELECT MEDIAN(amount) AS amount FROM orders", epsilon="0.1")
    before = balance_of(ana)
    for call in (ana.quote_refinement, ana.refine):
        with pytest.raises(UndertoneError, match="cannot be made more accurate") as caught:
            call(median, epsilon="0.1")
        assert caught.value.code == "INVALID_REQUEST"
        with pytest.raises(UndertoneError) as caught:
            call("never-asked", epsilon="0.1")
        assert caught.value.code == "UNKNOWN_QUERY_ID"
    assert balance_of(ana) == before


def test_gaussian_noise_has_no_pure_price(ana):
    quote = ana.quote("SELECT COUNT(*) AS n FROM orders", epsilon="0.5", mechanism="gaussian")
    assert quote.price.epsilon is None
    assert quote.price.rho > 0
    assert quote.columns[0].mechanism == "discrete Gaussian"


def test_gaussian_noise_closes_the_pure_ledger(tmp_path, server):
    # A server of its own, since nothing opens that ledger again.
    with server.another(tmp_path, customers=100) as other, other.connect("ana") as ana:
        answer = ana.query("SELECT COUNT(*) AS n FROM orders", epsilon="0.5", mechanism="gaussian")
        assert answer.receipt.price.epsilon is None
        assert balance_of(ana) == answer.balance
        for state in (answer.balance.account, answer.balance.pool):
            assert state.spent_rho == answer.receipt.price.rho
            assert state.spent_epsilon is None
            # What is left is what the zCDP ledger still takes.
            assert 0 < state.remaining_epsilon < state.granted_epsilon


def test_a_question_costs_the_default_unless_it_says_otherwise(ana):
    (shop,) = (dataset for dataset in ana.datasets() if dataset.name == DATASET)
    sql = "SELECT COUNT(*) AS n FROM orders"
    assert shop.default_mechanism == "automatic"
    assert ana.quote(sql, mechanism="laplace").price.epsilon == shop.default_epsilon
    assert ana.quote(sql, epsilon=shop.default_epsilon).price == ana.quote(sql).price
    with pytest.raises(UndertoneError) as caught:
        ana.quote("SELECT COUNT(*) AS n FROM orders", epsilon=shop.max_epsilon + 1)
    assert caught.value.code == "EPSILON_ABOVE_MAXIMUM"


def test_the_noise_is_chosen_for_the_price(ana):
    quote = ana.quote("SELECT COUNT(*) AS n FROM orders", epsilon="0.1")
    (release,) = quote.releases
    assert release.choice.startswith("Gaussian noise: for as much of the grant Laplace noise")
    assert sum(number.share for number in release.numbers) == pytest.approx(1)
    # An epsilon takes no more than that part of the grant.
    granted = quote.balance.account.granted_epsilon
    assert 0 < quote.price.part_of_grant <= 0.1 / float(granted)
    assert "of the grant" in str(quote.price)


def test_an_error_is_asked_for_in_the_place_of_a_price(ana):
    sql = "SELECT COUNT(*) AS n FROM orders"
    quote = ana.quote(sql, accuracy=Accuracy(200))
    assert 195 < quote.columns[0].half_width <= 200
    same = ana.quote(sql, accuracy=Accuracy(relative_error=0.1, magnitude=2000))
    assert same.price == quote.price
    assert ana.quote(sql, accuracy=Accuracy(200, confidence=0.99)).price.rho > quote.price.rho
    answer = ana.query(sql, accuracy=Accuracy(200))
    assert answer.receipt.price == quote.price
    with pytest.raises(UndertoneError, match="what can be paid is an error of"):
        ana.quote(sql, accuracy=Accuracy(0.1))
    with pytest.raises(UndertoneError, match="of counts and sums alone"):
        ana.quote("SELECT AVG(amount) AS a FROM orders", accuracy=Accuracy(1))


def test_bounds_that_nobody_declared_are_found_out(ana):
    sql = "SELECT SUM(order_id) AS total FROM orders"
    quote = ana.quote(sql, epsilon="0.5")
    (bound,) = quote.releases[0].chosen
    assert bound.what == "sum of order_id of one customer in a group"
    assert bound.upper is None and bound.price is not None
    (found,) = ana.query(sql, epsilon="0.5").receipt.releases[0].chosen
    assert found.lower == 0 < found.upper and 0 <= found.cut_off <= 1
    assert "which cuts off about" in str(found)
    (kept,) = ana.quote(sql, epsilon="0.2").releases[0].chosen
    assert kept.price is None and kept.upper > 0


def test_public_tables_are_free_and_exact(ana):
    before = balance_of(ana)
    answer = ana.query("SELECT category, department FROM categories")
    assert answer.table.num_rows > 1
    assert answer.intervals.num_columns == 0
    assert answer.receipt.columns == answer.receipt.releases == ()
    after = balance_of(ana)
    assert after.account.spent_epsilon == before.account.spent_epsilon
    assert after.account.spent_rho == before.account.spent_rho


def test_an_id_stands_for_one_question(ana):
    ana.query("SELECT COUNT(*) AS n FROM orders", epsilon="0.05", query_id="taken")
    before = balance_of(ana)
    with pytest.raises(UndertoneError) as caught:
        ana.query("SELECT COUNT(*) AS n FROM tickets", epsilon="0.05", query_id="taken")
    assert caught.value.code == "QUERY_ID_REUSED"
    assert balance_of(ana) == before


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT STDDEV(order_id) AS n FROM orders", "MISSING_BOUNDS"),
        ("SELECT MAX(category) AS n FROM orders", "UNSUPPORTED_SQL"),
    ],
)
def test_refusals_point_at_what_is_refused(ana, sql, code):
    with pytest.raises(RefusedError) as caught:
        ana.query(sql)
    assert caught.value.code == code
    assert caught.value.position == Position(line=1, column=8)
    assert "(line" not in str(caught.value)


def test_private_keys_cost_a_delta_and_show_what_many_have(ana):
    sql = "SELECT joined, COUNT(*) AS n FROM customers GROUP BY joined"
    quote = ana.quote(sql, epsilon="0.2", delta="2e-9")
    (release,) = quote.releases
    assert release.groups is None and release.threshold > 1
    assert "private keys" in release.describe() and quote.price.delta == Decimal("2e-9")
    answer = ana.query(sql, epsilon="0.2", delta="2e-9")
    assert answer.receipt.price.delta == Decimal("2e-9")
    assert answer.receipt.price.epsilon is None
    with pytest.raises(UndertoneError, match="maximum") as caught:
        ana.quote(sql, delta="0.1")
    assert caught.value.code == "INVALID_REQUEST"


def test_private_rows_are_refused_with_advice(ana):
    before = balance_of(ana)
    with pytest.raises(RefusedError, match=r"(?i)count|sum|avg|aggregat|group by") as caught:
        ana.query("SELECT * FROM orders")
    assert caught.value.code == "PRIVATE_ROWS"
    assert balance_of(ana) == before


@pytest.mark.parametrize("ask", ["query", "quote"])
def test_an_unknown_column_is_pointed_at(ana, ask):
    before = balance_of(ana)
    sql = "SELECT COUNT(*) AS n\nFROM orders\nWHERE amont > 3"
    with pytest.raises(UndertoneError, match="amont") as caught:
        getattr(ana, ask)(sql, epsilon="0.1")
    assert caught.value.position == Position(line=3, column=7)
    assert str(caught.value).endswith("  3 | WHERE amont > 3\n    |       ^")
    assert balance_of(ana) == before


@pytest.mark.parametrize("epsilon", ["much", "0", "-1", float("nan"), float("inf")])
def test_the_server_judges_epsilon(ana, epsilon):
    before = balance_of(ana)
    with pytest.raises(UndertoneError) as caught:
        ana.query("SELECT COUNT(*) AS n FROM orders", epsilon=epsilon)
    assert caught.value.code not in ("INTERNAL", "UNAVAILABLE", "UNKNOWN")
    assert balance_of(ana) == before


def test_a_bad_token_is_turned_away(server):
    with undertone.connect(server.url, "not-a-token") as stranger:
        for call in (stranger.budget, stranger.datasets):
            with pytest.raises(AuthError) as caught:
                call()
            assert caught.value.code == "UNAUTHENTICATED"


def test_answers_are_for_those_who_paid(ana, ben):
    paid = ana.query("SELECT COUNT(*) AS n FROM tickets", epsilon="0.1")
    assert ana.answer(paid.query_id).table_ipc == paid.table_ipc
    with pytest.raises(UndertoneError):
        ben.answer(paid.query_id)


def test_one_runs_out_and_the_other_goes_on(ana, ben):
    sql = "SELECT COUNT(*) AS n FROM orders"
    answers = []
    with pytest.raises(BudgetError) as caught:
        for _ in range(20):
            answers.append(ben.query(sql, epsilon="0.2", mechanism="laplace", fresh=True))
    assert caught.value.code == "BUDGET_EXHAUSTED"
    assert len(answers) == 2
    assert balance_of(ben) == answers[-1].balance
    assert not ben.quote(sql, epsilon="0.2", mechanism="laplace").affordable
    # What was paid for stays, and so does what others have.
    assert ben.answer(answers[0].query_id).table_ipc == answers[0].table_ipc
    assert not ana.query(sql, epsilon="0.2", mechanism="laplace", fresh=True).replayed


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_restart_forgets_nothing(server, how):
    sql = "SELECT topic, COUNT(*) AS n FROM tickets GROUP BY topic"
    with server.connect("ana") as ana:
        paid = ana.query(sql, epsilon="0.1", fresh=True)
        before = balance_of(ana)
    server.restart(how)
    with server.connect("ana") as ana:
        assert balance_of(ana) == before
        again = ana.answer(paid.query_id)
        assert again.replayed
        assert again.table_ipc == paid.table_ipc
        assert again.intervals_ipc == paid.intervals_ipc
        assert balance_of(ana) == before


def test_parameters_and_the_plan(ana):
    written = ana.quote("SELECT COUNT(*) AS n FROM customers WHERE region = 'north'", epsilon=1)
    given = ana.quote(
        "select count(1) as m from customers c where ($1 = region)", epsilon=1, parameters=["north"]
    )
    assert given.question_digest == written.question_digest
    assert given.plan.visibility == "post-processing"
    assert "release 1" in repr(given.plan)
    assert "where region = 'north'" in repr(given.plan)
    (number,) = given.releases[0].numbers
    assert (number.quantity, number.lower) == ("count of rows", 0)
    with pytest.raises(UndertoneError, match="parameter 1 has no value"):
        ana.quote("SELECT COUNT(*) FROM customers WHERE region = ?", epsilon=1)

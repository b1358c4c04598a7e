"""Statements over Arrow Flight SQL: the price before the answer, one charge, refusals."""

import base64
import datetime
import json
import threading

import pandas
import polars
import pyarrow
import pyarrow.flight
import pytest
from adbc_driver_flightsql import dbapi

from flight import (
    ANSWER,
    CHARGE,
    PAID,
    QUOTE,
    REUSE,
    bearer,
    command,
    connect,
    ledger,
    message,
    statement,
    uri,
)
from real import DATASET, PURPOSE, Server

TOPICS = "SELECT topic, count(*) AS n FROM tickets GROUP BY topic"

# What a driver or a table library warns of is a defect here.
pytestmark = pytest.mark.filterwarnings("error")


def test_a_statement_is_priced_for_nothing_and_paid_once(flight: Server) -> None:
    with connect(flight, "ana", epsilon="0.25") as connection, connection.cursor() as cursor:
        with ledger(flight, "ana") as told:
            schema = cursor.adbc_execute_schema(TOPICS)
        assert told.entries == [QUOTE], "a price was charged"
        assert [(field.name, field.type) for field in schema] == [
            ("topic", pyarrow.string()),
            ("n", pyarrow.int64()),
        ]
        assert schema.metadata[b"undertone.price"].startswith(b"rho 0.0")
        assert b"% of the grant" in schema.metadata[b"undertone.price"]
        assert schema.metadata[b"undertone.balance"] == b"epsilon 10 of 10 is left"
        quote = json.loads(schema.metadata[b"undertone.quote"])
        assert quote["affordable"] and not quote["answered"]
        assert quote["columns"][0]["half_width"] > 0
        expected = float(schema.field("n").metadata[b"undertone.expected_error"])
        assert expected == quote["columns"][0]["half_width"]
        assert quote["balance"]["account"]["granted_epsilon"] == "10"

        with ledger(flight, "ana") as told:
            cursor.execute(TOPICS)
            table = cursor.fetch_arrow_table()
        assert told.entries == [QUOTE, *PAID]
        assert table.schema.equals(schema)
        assert table.num_rows == 6
        connection.commit()

        # The same question, in other words too, is paid for, and said to be.
        again = "select topic, COUNT(*) n from main.tickets group by topic"
        with ledger(flight, "ana") as told:
            schema = cursor.adbc_execute_schema(again)
            assert schema.metadata[b"undertone.price"].startswith(b"nothing: ")
            cursor.execute(again)
            assert cursor.fetch_arrow_table().equals(table)
        assert told.entries == [QUOTE, QUOTE, REUSE]


def test_pandas_and_polars_read_answers(flight: Server) -> None:
    joined = "orders JOIN customers USING (customer_id)"
    sql = f"SELECT region, avg(amount) AS mean FROM {joined} GROUP BY region"
    with (
        connect(flight, "ana", dataset=DATASET, purpose=PURPOSE, epsilon="0.5") as connection,
        ledger(flight, "ana") as told,
    ):
        frame = pandas.read_sql(sql, connection)
        assert list(frame.columns) == ["region", "mean"] and frame["mean"].notna().all()
        read = polars.read_database(sql, connection)
        assert read.columns == ["region", "mean"]
        assert sorted(read["mean"].to_list()) == sorted(frame["mean"].to_list())
    assert told.charges == 1 and told.entries.count(REUSE) == 1


def test_parameters_are_bound_by_value(flight: Server) -> None:
    sql = "SELECT count(*) AS n FROM orders WHERE amount > ? AND ordered_on < ?"
    with connect(flight, "ana", epsilon="0.125") as connection, connection.cursor() as cursor:
        day = datetime.date(2026, 1, 1)
        assert [field.type for field in cursor.adbc_prepare(sql)] == [
            pyarrow.float64(),
            pyarrow.date32(),
        ]
        with ledger(flight, "ana") as told:
            cursor.execute(sql, (100, day))
            first = cursor.fetchone()
            cursor.execute(sql, (100, day))
            assert cursor.fetchone() == first
        assert told.entries == [QUOTE, *PAID, QUOTE, REUSE]
        with ledger(flight, "ana") as told:
            cursor.execute(sql, (200.5, day))
            cursor.fetchone()
        assert told.charges == 1
        # As many as the text has, of types that parameters have.
        with ledger(flight, "ana") as told:
            for wrong, words in [
                ((100,), "parameter 2 has no value"),
                ((100, day, 3), "came with 3 parameters"),
                ((100, b"x"), "parameter 2 is Binary"),
                (("100", day), "parameter 1 is a text, and stands for a DOUBLE"),
                ((100, True), "parameter 2 is a boolean, and stands for a DATE"),
                ((100, datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)), "time zone"),
            ]:
                with pytest.raises(dbapi.ProgrammingError, match=words):
                    cursor.execute(sql, wrong)
                    cursor.fetchone()
            many = pyarrow.record_batch({"0": [1.0, 2.0], "1": [day, day]})
            with pytest.raises(dbapi.ProgrammingError, match="one row of parameters"):
                cursor.execute(sql, many)
        assert {kind for kind, _ in told.entries} == {"refusal"}


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT count(*) FROM ticket", "there is no table 'ticket'"),
        ("SELECT topik, count(*) FROM tickets GROUP BY topik", "here are .*topic"),
        ("SELEC 1", "SELEC"),
        ("DELETE FROM tickets", "only SELECT is answered"),
        ("SELECT count(*) FROM tickets; SELECT 1", "one statement at a time"),
        ("PREPARE p AS SELECT count(*) FROM tickets", "PREPARE is not a question"),
        ("SELECT * FROM information_schema.tables", "undertone.columns shows what may be asked"),
        ("SHOW TABLES", "undertone.columns shows what may be asked"),
        ("EXPLAIN SELECT count(*) FROM tickets", "adbc_execute_schema"),
        ("SET epsilon = 1", "set options in the session"),
    ],
)
def test_a_refusal_is_a_sentence_that_stands_alone(flight: Server, sql: str, words: str) -> None:
    with (
        ledger(flight, "ben") as told,
        connect(flight, "ben") as connection,
        connection.cursor() as cursor,
    ):
        with pytest.raises(dbapi.ProgrammingError, match=words) as caught:
            cursor.execute(sql)
        assert "this cost nothing" in str(caught.value)
        assert "InternalError" not in str(caught.value)
    assert told.entries == [("refusal", "flight_action")]


@pytest.mark.parametrize(
    ("sql", "instead"),
    [
        ("SELECT topic FROM tickets LIMIT 1", 'SELECT "topic", count(*) AS n FROM tickets'),
        ("SELECT * FROM shop.main.tickets LIMIT 100", "FROM shop.main.tickets GROUP BY"),
        ("SELECT minutes FROM tickets WHERE topic = 'price'", 'SELECT avg("minutes") AS mean'),
        (
            "SELECT o.amount FROM orders o JOIN customers c USING (customer_id)",
            "SELECT count(*) AS n FROM orders o JOIN customers",
        ),
    ],
)
def test_a_preview_is_refused_with_what_to_ask_instead(
    flight: Server, sql: str, instead: str
) -> None:
    with connect(flight, "ana") as connection:
        with ledger(flight, "ana") as told, pytest.raises(pandas.errors.DatabaseError) as caught:
            pandas.read_sql(sql, connection)
        assert told.charges == 0
        text = str(caught.value)
        assert "cost nothing" in text and "% of the grant ask instead: " in text
        assert instead in text
        # It is what it says.
        offered = text.partition("ask instead: ")[2].partition(" (line ")[0]
        with ledger(flight, "ana") as told:
            assert len(pandas.read_sql(offered, connection)) >= 1
        assert told.entries[0] == QUOTE


def test_a_budget_that_is_spent_says_so(flight: Server) -> None:
    with connect(flight, "ben", epsilon="0.6") as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema(TOPICS)
        assert not json.loads(schema.metadata[b"undertone.quote"])["affordable"]
        with ledger(flight, "ben") as told:
            with pytest.raises(dbapi.ProgrammingError, match="cannot pay it") as caught:
                cursor.execute(TOPICS)
                cursor.fetch_arrow_table()
            assert "still fits" in str(caught.value)
        assert told.charges == 0


def test_a_ticket_is_its_owners_and_gives_the_same_bytes(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    epsilon = ("undertone-epsilon", "0.125")
    descriptor = statement("SELECT count(*) AS n FROM customers")
    with ledger(flight, "ana") as told:
        info = client.get_flight_info(descriptor, bearer(flight, "ana", epsilon))
        assert (info.total_records, info.total_bytes, len(info.endpoints)) == (-1, -1, 1)
        ticket = info.endpoints[0].ticket
        forged = command("TicketStatementQuery", message(1, b"SELECT * FROM customers"))
        for wrong, who, words in [
            (ticket, "ben", "somebody else's"),
            (pyarrow.flight.Ticket(ticket.ticket[:-1] + b"x"), "ana", "was changed"),
            (pyarrow.flight.Ticket(b"nonsense"), "ana", "no message of Flight SQL"),
            (pyarrow.flight.Ticket(forged), "ana", "not of this server"),
            (pyarrow.flight.Ticket(descriptor.command), "ana", "flight information"),
        ]:
            with pytest.raises(pyarrow.lib.ArrowInvalid, match=words):
                client.do_get(wrong, bearer(flight, who)).read_all()
    assert told.charges == 0
    # Eight readers at once, and one later.
    answers: list[pyarrow.Table] = []

    def read() -> None:
        answers.append(client.do_get(ticket, bearer(flight, "ana")).read_all())

    readers = [threading.Thread(target=read) for _ in range(8)]
    with ledger(flight, "ana") as told:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        read()
    assert told.entries == [CHARGE, ANSWER]
    assert len(answers) == 9
    assert all(answer.equals(answers[0], check_metadata=True) for answer in answers)
    receipt = json.loads(answers[0].schema.metadata[b"undertone.receipt"])
    assert receipt["price"]["epsilon"] in ("", "0.125") and receipt["purpose"] == PURPOSE


def test_the_same_question_at_once_is_paid_once(flight: Server) -> None:
    """As two tiles of a dashboard ask it."""
    sql = "SELECT count(*) AS n FROM orders WHERE amount > 77"
    frames: list[pandas.DataFrame] = []
    together = threading.Barrier(4)

    def ask() -> None:
        with connect(flight, "ana", epsilon="0.125") as connection:
            together.wait()
            frames.append(pandas.read_sql(sql, connection))

    with ledger(flight, "ana") as told:
        tiles = [threading.Thread(target=ask) for _ in range(4)]
        for tile in tiles:
            tile.start()
        for tile in tiles:
            tile.join()
    assert told.charges == 1 and told.entries.count(REUSE) == 3
    assert len({frame["n"][0] for frame in frames}) == 1 and len(frames) == 4


def test_without_a_credential_nothing_is_told(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    basic = base64.b64encode(b"ana:wrong").decode()
    for headers in [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", f"Basic {basic}".encode())],
        [(b"authorization", b"Basic " + base64.b64encode(b"ana\0:wrong"))],
        [(b"authorization", b"Basic AAAA")],
        [(b"authorization-bin", f"Bearer {flight.token('ana')}".encode())],
        [(b"authorization", b"Bearer us_" + b"0" * 64)],
        [(b"authorization", f"Bearer {flight.token('ana')}".encode())] * 2,
    ]:
        with pytest.raises(pyarrow.flight.FlightUnauthenticatedError):
            descriptor = statement("SELECT count(*) AS n FROM customers")
            client.get_flight_info(descriptor, pyarrow.flight.FlightCallOptions(headers=headers))


@pytest.mark.parametrize(
    "name",
    [
        "CommandStatementSubstraitPlan",
        "CommandStatementUpdate",
        "CommandStatementIngest",
        "CommandPreparedStatementUpdate",
    ],
)
def test_nothing_but_questions_in_sql_is_taken(flight: Server, name: str) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    descriptor = pyarrow.flight.FlightDescriptor.for_command(command(name))
    with pytest.raises(pyarrow.lib.ArrowInvalid, match="takes no data and no plans"):
        client.get_flight_info(descriptor, bearer(flight, "ana"))
    schema = pyarrow.schema([("x", pyarrow.int64())])
    writer, _ = client.do_put(descriptor, schema, bearer(flight, "ana"))
    with pytest.raises(pyarrow.lib.ArrowInvalid, match="takes no data and no plans"):
        writer.close()

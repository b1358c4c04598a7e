"""The server behind the stock Arrow Flight SQL driver, as pandas, polars and SQL tools use it."""

import base64
import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pandas
import polars
import pyarrow
import pyarrow.flight
import pytest
from adbc_driver_flightsql import dbapi

from conftest import missing
from real import DATASET, PURPOSE, Server, prepare

TOPICS = "SELECT topic, count(*) AS n FROM tickets GROUP BY topic"
HEADER = "adbc.flight.sql.rpc.call_header."

# What a driver or a table library warns of is a defect here.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose budgets are these tests' alone."""
    binary = os.environ.get("UNDERTONE_BIN")
    if not binary:
        missing("UNDERTONE_BIN does not name the server's binary")
    directory = tmp_path_factory.mktemp("flight")
    prepare(Path(binary), directory, customers=1000)
    server = Server(Path(binary), directory)
    server.start()
    yield server
    server.stop()


def token(server: Server, who: str) -> str:
    return (server.directory / f"{who}.token").read_text()


def uri(server: Server) -> str:
    return server.url.replace("http://", "grpc://")


def connect(server: Server, who: str, **headers: str) -> dbapi.Connection:
    options = {"adbc.flight.sql.authorization_header": f"Bearer {token(server, who)}"}
    options |= {f"{HEADER}undertone-{name}": value for name, value in headers.items()}
    return dbapi.connect(uri(server), db_kwargs=options)


def charges(server: Server, who: str) -> int:
    """How many charges the ledger has of an account."""
    with server.connect(who) as client:
        (balance,) = client.budget()
    return balance.account.charges


def test_a_statement_is_priced_for_nothing_and_paid_once(flight: Server) -> None:
    before = charges(flight, "ana")
    with connect(flight, "ana", epsilon="0.25") as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema(TOPICS)
        assert [(field.name, field.type) for field in schema] == [
            ("topic", pyarrow.string()),
            ("n", pyarrow.int64()),
        ]
        assert schema.metadata[b"undertone.price"].startswith(b"rho 0.0")
        quote = json.loads(schema.metadata[b"undertone.quote"])
        assert quote["affordable"] and quote["columns"][0]["half_width"] > 0
        assert quote["balance"]["account"]["granted_epsilon"] == "10"
        assert charges(flight, "ana") == before, "a price was charged"

        cursor.execute(TOPICS)
        table = cursor.fetch_arrow_table()
        assert table.schema.equals(schema)
        assert table.num_rows == 6
        assert charges(flight, "ana") == before + 1
        connection.commit()

        # The same question, in other words too, is paid for.
        cursor.execute("select topic, COUNT(*) n from tickets group by topic")
        assert cursor.fetch_arrow_table().equals(table)
    assert charges(flight, "ana") == before + 1


def test_pandas_and_polars_read_answers(flight: Server) -> None:
    joined = "orders JOIN customers USING (customer_id)"
    sql = f"SELECT region, avg(amount) AS mean FROM {joined} GROUP BY region"
    before = charges(flight, "ana")
    with connect(flight, "ana", dataset=DATASET, purpose=PURPOSE, epsilon="0.5") as connection:
        frame = pandas.read_sql(sql, connection)
        assert list(frame.columns) == ["region", "mean"] and frame["mean"].notna().all()
        read = polars.read_database(sql, connection)
        assert read.columns == ["region", "mean"]
        assert sorted(read["mean"].to_list()) == sorted(frame["mean"].to_list())
    assert charges(flight, "ana") == before + 1


def test_parameters_are_bound_by_value(flight: Server) -> None:
    before = charges(flight, "ana")
    sql = "SELECT count(*) AS n FROM orders WHERE amount > ? AND ordered_on < ?"
    with connect(flight, "ana", epsilon="0.125") as connection, connection.cursor() as cursor:
        day = datetime.date(2026, 1, 1)
        cursor.execute(sql, (100, day))
        first = cursor.fetchone()
        cursor.execute(sql, (100, day))
        assert cursor.fetchone() == first
        assert charges(flight, "ana") == before + 1
        cursor.execute(sql, (200.5, day))
        cursor.fetchone()
        assert charges(flight, "ana") == before + 2
        # As many as the text has, of types that parameters have.
        for wrong, words in [
            ((100,), "parameter 2 has no value"),
            ((100, day, 3), "came with 3 parameters"),
            ((100, b"x"), "parameter 2 is Binary"),
        ]:
            with pytest.raises(dbapi.ProgrammingError, match=words):
                cursor.execute(sql, wrong)
                cursor.fetchone()
    assert charges(flight, "ana") == before + 2


def test_tools_find_what_may_be_asked(flight: Server) -> None:
    with connect(flight, "ana") as connection:
        assert connection.adbc_get_table_types() == ["TABLE"]
        info = connection.adbc_get_info()
        assert info["vendor_name"] == "undertone"
        objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        (catalog,) = objects
        assert catalog["catalog_name"] == DATASET
        (schema,) = catalog["catalog_db_schemas"]
        tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
        assert {"customers", "orders", "tickets"} <= set(tables)
        columns = [column["column_name"] for column in tables["tickets"]["table_columns"]]
        assert "topic" in columns
        tickets = connection.adbc_get_table_schema(
            "tickets", catalog_filter=DATASET, db_schema_filter="main"
        )
        topic = tickets.field("topic")
        assert topic.type == pyarrow.string()
        assert topic.metadata[b"undertone.tier"] == b"sensitive"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT topic FROM tickets", "rows about single units"),
        ("SELECT topic, count(*) FROM ticket GROUP BY topic", "ticket"),
        ("SELEC 1", "SELEC"),
    ],
)
def test_a_refusal_is_a_sentence_that_stands_alone(flight: Server, sql: str, words: str) -> None:
    before = charges(flight, "ben")
    with connect(flight, "ben") as connection, connection.cursor() as cursor:
        with pytest.raises(dbapi.ProgrammingError) as caught:
            cursor.execute(sql)
        assert words in str(caught.value) and "InternalError" not in str(caught.value)
    assert charges(flight, "ben") == before


def test_a_budget_that_is_spent_says_so(flight: Server) -> None:
    with connect(flight, "ben", epsilon="0.6") as connection, connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema(TOPICS)
        assert not json.loads(schema.metadata[b"undertone.quote"])["affordable"]
        with pytest.raises(dbapi.Error, match="cannot pay it"):
            cursor.execute(TOPICS)
            cursor.fetch_arrow_table()
    assert charges(flight, "ben") == 0


def test_a_name_and_a_password_are_a_credential_too(flight: Server) -> None:
    for name, password, fine in [
        ("ana", token(flight, "ana"), True),
        ("ben", token(flight, "ana"), False),
        ("ana", "wrong:with:colons", False),
    ]:
        options = {"username": name, "password": password}
        if fine:
            with dbapi.connect(uri(flight), db_kwargs=options) as connection:
                assert connection.adbc_get_table_types() == ["TABLE"]
        else:
            with pytest.raises(dbapi.Error, match="token is not known"):
                dbapi.connect(uri(flight), db_kwargs=options)


def test_a_ticket_is_its_owners_and_gives_the_same_bytes(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))

    def options(who: str) -> pyarrow.flight.FlightCallOptions:
        bearer = f"Bearer {token(flight, who)}".encode()
        return pyarrow.flight.FlightCallOptions(
            headers=[(b"authorization", bearer), (b"undertone-epsilon", b"0.125")]
        )

    # CommandStatementQuery within google.protobuf.Any, by hand.
    def field(number: int, value: bytes) -> bytes:
        assert len(value) < 128
        return bytes([number << 3 | 2, len(value)]) + value

    name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    query = b"SELECT count(*) AS n FROM customers"
    descriptor = pyarrow.flight.FlightDescriptor.for_command(
        field(1, name) + field(2, field(1, query))
    )
    before = charges(flight, "ana")
    info = client.get_flight_info(descriptor, options("ana"))
    assert (info.total_records, info.total_bytes, len(info.endpoints)) == (-1, -1, 1)
    ticket = info.endpoints[0].ticket
    for wrong, who, words in [
        (ticket, "ben", "somebody else's"),
        (pyarrow.flight.Ticket(ticket.ticket[:-1] + b"x"), "ana", "was changed"),
        (pyarrow.flight.Ticket(b"nonsense"), "ana", "no message of Flight SQL"),
    ]:
        with pytest.raises(pyarrow.lib.ArrowInvalid, match=words):
            client.do_get(wrong, options(who)).read_all()
    assert charges(flight, "ana") == before
    first = client.do_get(ticket, options("ana")).read_all()
    receipt = json.loads(first.schema.metadata[b"undertone.receipt"])
    assert receipt["price"]["epsilon"] in ("", "0.125") and receipt["purpose"] == PURPOSE
    assert client.do_get(ticket, options("ana")).read_all().equals(first, check_metadata=True)
    assert charges(flight, "ana") == before + 1
    # Without a credential nothing is told.
    basic = base64.b64encode(b"ana:wrong").decode()
    for headers in [[], [(b"authorization", f"Basic {basic}".encode())]]:
        with pytest.raises(pyarrow.flight.FlightUnauthenticatedError):
            client.get_flight_info(descriptor, pyarrow.flight.FlightCallOptions(headers=headers))

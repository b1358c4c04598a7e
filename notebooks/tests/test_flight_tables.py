"""What SQL tools look around with: metadata, and the tables of the schema `undertone`."""

import datetime

import pandas
import pyarrow
import pyarrow.flight
import pytest
from adbc_driver_flightsql import dbapi

from flight import PAID, QUOTE, bearer, command, connect, ledger, message, set_options, uri
from real import DATASET, PURPOSE, Server

pytestmark = pytest.mark.filterwarnings("error")


def test_tools_find_what_may_be_asked(flight: Server) -> None:
    with connect(flight, "ana") as connection, ledger(flight, "ana") as told:
        assert connection.adbc_get_table_types() == ["SYSTEM TABLE", "TABLE"]
        info = connection.adbc_get_info()
        assert info["vendor_name"] == "undertone"
        (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        assert catalog["catalog_name"] == DATASET
        schemas = {s["db_schema_name"]: s for s in catalog["catalog_db_schemas"]}
        assert set(schemas) == {"main", "undertone"}
        tables = {t["table_name"]: t for t in schemas["main"]["db_schema_tables"]}
        assert set(tables) == {"customers", "orders", "tickets", "categories"}
        columns = {c["column_name"]: c for c in tables["tickets"]["table_columns"]}
        assert "topic" in columns
        own = {t["table_name"] for t in schemas["undertone"]["db_schema_tables"]}
        assert own == {"columns", "budget", "receipts", "last_receipt"}

        tickets = connection.adbc_get_table_schema(
            "tickets", catalog_filter=DATASET, db_schema_filter="main"
        )
        assert tickets.metadata[b"undertone.purposes"] == PURPOSE.encode()
        topic, minutes = tickets.field("topic"), tickets.field("minutes")
        assert (topic.type, minutes.type) == (pyarrow.string(), pyarrow.int64())
        assert topic.metadata[b"undertone.tier"] == b"sensitive"
        assert topic.metadata[b"undertone.domain"] == (
            b"declared list (6 values): 'delivery', 'billing', 'returns', 'account', 'health', "
            b"'harassment'"
        )
        assert minutes.metadata[b"undertone.bounds"] == b"0 to 240"
        orders = connection.adbc_get_table_schema("orders", db_schema_filter="main")
        days = orders.field("ordered_on").metadata
        assert days[b"undertone.bounds"] == b"2025-01-01 to 2025-12-31"
        assert minutes.metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"] == b"BIGINT"
        assert b"time spent" in minutes.metadata[b"ARROW:FLIGHT:SQL:REMARKS"]
        # Patterns are those of SQL.
        found = connection.adbc_get_objects(table_name_filter="%rders", depth="tables")
        (catalog,) = found.read_all().to_pylist()
        names = [
            t["table_name"] for s in catalog["catalog_db_schemas"] for t in s["db_schema_tables"]
        ]
        assert names == ["orders"]
    assert told.entries == []


def test_nobody_sees_what_is_not_theirs(flight: Server) -> None:
    # Governance has no grant, so it knows of no dataset.
    with connect(flight, "gina") as connection, connection.cursor() as cursor:
        # What the driver shows where there is no catalog.
        (nothing,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        assert nothing == {"catalog_name": "", "catalog_db_schemas": []}
        for table in ("columns", "budget", "receipts", "last_receipt"):
            cursor.execute(f"SELECT * FROM undertone.{table}")
            assert cursor.fetchall() == []
        with pytest.raises(dbapi.ProgrammingError, match="no grant for any dataset"):
            cursor.execute("SELECT count(*) FROM orders")


def metadata(server: Server, name: str, body: bytes = b"") -> pyarrow.Table:
    """The rows of a command, as drivers get them."""
    client = pyarrow.flight.FlightClient(uri(server))
    descriptor = pyarrow.flight.FlightDescriptor.for_command(command(name, body))
    ana = bearer(server, "ana")
    info = client.get_flight_info(descriptor, ana)
    table = client.do_get(info.endpoints[0].ticket, ana).read_all()
    assert table.schema.equals(info.schema)
    return table


def test_keys_lead_to_the_privacy_unit(flight: Server) -> None:
    orders, tickets = (message(3, name.encode()) for name in ("orders", "tickets"))
    (key,) = metadata(flight, "CommandGetPrimaryKeys", orders).to_pylist()
    assert (key["table_name"], key["column_name"], key["key_sequence"]) == ("orders", "order_id", 1)
    assert metadata(flight, "CommandGetPrimaryKeys", tickets).num_rows == 0
    (imported,) = metadata(flight, "CommandGetImportedKeys", tickets).to_pylist()
    (exported,) = metadata(flight, "CommandGetExportedKeys", orders).to_pylist()
    crossed = message(3, b"orders") + message(6, b"tickets")
    (both,) = metadata(flight, "CommandGetCrossReference", crossed).to_pylist()
    assert imported == exported == both
    assert (imported["fk_table_name"], imported["fk_column_name"]) == ("tickets", "order_id")
    assert imported["pk_db_schema_name"] == "main" and imported["delete_rule"] == 3
    elsewhere = message(1, b"clinic") + tickets
    assert metadata(flight, "CommandGetImportedKeys", elsewhere).num_rows == 0


def test_drivers_find_what_they_ask_first(flight: Server) -> None:
    info = metadata(flight, "CommandGetSqlInfo").to_pydict()
    values = dict(zip(info["info_name"], info["value"], strict=True))
    # Read only, SQL, no Substrait, identifiers in lower case and quoted by ".
    assert [values[n] for n in (0, 3, 4, 5, 503, 504)] == ["undertone", True, True, False, 3, '"']
    assert values[541] == 0 and values[557] > 100_000
    types = metadata(flight, "CommandGetXdbcTypeInfo").to_pylist()
    assert [row["type_name"] for row in types] == [
        *("BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP"),
    ]
    assert metadata(flight, "CommandGetXdbcTypeInfo", b"\x08\x0c").num_rows == 1


def test_what_is_ones_own_is_read_for_nothing(flight: Server) -> None:
    with connect(flight, "ana", epsilon="0.25") as connection:
        with ledger(flight, "ana") as told:
            columns = pandas.read_sql(
                """SELECT "column", type, lower, upper, tier FROM shop.undertone.columns
                   WHERE "table" = 'orders' AND NOT privacy_unit ORDER BY "column" """,
                connection,
            )
            budget = pandas.read_sql("SELECT * FROM undertone.budget", connection)
            assert len(pandas.read_sql("SELECT * FROM undertone.last_receipt", connection)) == 0
        assert told.entries == []
        assert list(columns["column"]) == [
            "amount",
            "category",
            "order_id",
            "ordered_on",
            "quantity",
        ]
        amount = columns.set_index("column").loc["amount"]
        assert (amount["type"], amount["lower"], amount["upper"]) == ("DOUBLE", 0, 500)
        assert list(budget["account"]) == ["own", "pool"]
        assert list(budget["remaining_epsilon"]) == [10, 20]
        assert not budget["frozen"].any() and list(budget["charges"]) == [0, 0]

        set_options(connection, purpose=PURPOSE)
        sql = "SELECT category, count(*) AS n, avg(amount) AS mean FROM orders GROUP BY category"
        other = "SELECT count(*) AS n FROM tickets"
        with ledger(flight, "ana") as told:
            pandas.read_sql(sql, connection)
            pandas.read_sql(other, connection)
        assert told.entries == [QUOTE, QUOTE, *PAID] * 2
        # The one that was read last, and all.
        with ledger(flight, "ana") as told:
            last = pandas.read_sql("SELECT * FROM undertone.last_receipt", connection)
            assert list(last["column"]) == ["n"] and last["rho"][0] > 0
            assert last["half_width"][0] > 0 and "discrete" in last["mechanism"][0]
            assert abs(
                last["charged_at"][0]
                - pandas.Timestamp.now(datetime.timezone.utc).tz_localize(None)
            ) < pandas.Timedelta("1h")
            receipts = pandas.read_sql(
                'SELECT query_id, "column" FROM undertone.receipts ORDER BY charged_at', connection
            )
            assert sorted(receipts["column"]) == ["mean", "n", "n"]
            assert receipts["query_id"].nunique() == 2
            left = pandas.read_sql(
                "SELECT remaining_epsilon AS e, charges FROM undertone.budget LIMIT 1",
                connection,
            )
            assert 0 < left["e"][0] < 10 and left["charges"][0] == 2
        assert told.entries == []
        # An answer that is read again is the last one.
        pandas.read_sql(sql, connection)
        last = pandas.read_sql('SELECT "column" FROM undertone.last_receipt', connection)
        assert sorted(last["column"]) == ["mean", "n"]
        for wrong, words in [
            ("SELECT * FROM undertone.receipts, orders", "by itself alone"),
            ("SELECT * FROM undertone.secrets", "undertone.secrets"),
            ("SELECT nothing FROM undertone.budget", "nothing"),
            ("SELECT repeat('a', 2000000000) FROM undertone.budget", "repeat"),
            ("SELECT dataset || dataset FROM undertone.budget", "put texts together"),
            ("SELECT 1 FROM undertone.columns, undertone.columns b, undertone.columns c", "two"),
        ]:
            with connection.cursor() as cursor, pytest.raises(dbapi.ProgrammingError, match=words):
                cursor.execute(wrong)
        with connection.cursor() as cursor:
            cursor.execute(
                'SELECT type FROM undertone.columns WHERE "table" = ? AND "column" = ?',
                ("tickets", "minutes"),
            )
            assert cursor.fetchall() == [("BIGINT",)]


def test_a_table_can_be_looked_at_without_a_row(flight: Server) -> None:
    """How tools find out whether a table is there, and which columns it has."""
    with connect(flight, "ana") as connection, ledger(flight, "ana") as told:
        frame = pandas.read_sql("SELECT * FROM tickets WHERE 1=0", connection)
        assert list(frame.columns) == ["ticket_id", "order_id", "topic", "minutes", "satisfaction"]
        assert len(frame) == 0
        with connection.cursor() as cursor:
            for sql in (
                'SELECT t."minutes" AS m, topic FROM shop.main.tickets AS t LIMIT 0',
                "SELECT minutes AS m, topic FROM tickets WHERE false",
            ):
                cursor.execute(sql)
                table = cursor.fetch_arrow_table()
                assert table.num_rows == 0
                assert [(f.name, f.type) for f in table.schema] == [
                    ("m", pyarrow.int64()),
                    ("topic", pyarrow.string()),
                ]
            for sql in ("SELECT * FROM ticket WHERE 1=0", "SELECT nothing FROM tickets LIMIT 0"):
                with pytest.raises(dbapi.ProgrammingError, match="there is no"):
                    cursor.execute(sql)
            with pytest.raises(dbapi.ProgrammingError, match="cost nothing"):
                cursor.execute("SELECT minutes FROM tickets WHERE minutes = 0")
    assert {kind for kind, _ in told.entries} == {"refusal"}

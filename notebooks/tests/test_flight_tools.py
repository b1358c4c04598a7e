"""SQL tools over Arrow Flight SQL: jupysql, and what the JDBC driver sends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.flight
import pytest

from flight import (
    PAID,
    QUOTE,
    REUSE,
    bearer,
    command,
    ledger,
    message,
    options,
    uri,
)
from real import DATASET, PASSWORD, Server

pytestmark = pytest.mark.filterwarnings("error")


def test_jupysql_asks_and_is_refused(flight: Server) -> None:
    script = Path(__file__).with_name("jupysql_cells.py")
    arguments = [uri(flight), "ana", flight.token("ana")]
    # Inside of pytest the driver warns of the cursors that jupysql leaves open.
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    with ledger(flight, "ana") as told:
        done = subprocess.run(
            [sys.executable, "-W", "error", script, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("[{")]
    answer, own, preview, profile = json.loads(line)
    assert answer == {"columns": ["topic", "n"], "rows": 6}
    assert own == {"columns": ["account"], "rows": 2}
    assert "ask instead: SELECT" in preview["error"]
    # A click that fires many statements stops at its first preview.
    assert "This cost nothing" in profile["error"]
    assert told.entries[:4] == [QUOTE, QUOTE, *PAID]
    assert {kind for kind, _ in told.entries[4:]} == {"refusal"}


class Jdbc:
    """The calls of the JDBC driver, in its order (apache/arrow-java, flight-sql-jdbc-core)."""

    def __init__(self, server: Server, user: str, password: str, catalog: str) -> None:
        self._client = pyarrow.flight.FlightClient(uri(server))
        # Handshake with basic credentials; the bearer credential of its headers from then on.
        _, bearer = self._client.authenticate_basic_token(user, password)
        # Unknown properties of its URL are headers of every call.
        self._options = options(bearer.decode(), ("undertone-epsilon", "0.125"))
        if catalog:
            text = message(1, catalog.encode())
            entry = message(1, b"catalog") + message(2, text)
            (result,) = self._act("SetSessionOptions", message(1, entry))
            assert result == b"", "an option had an error"

    def _act(self, name: str, body: bytes) -> list[bytes]:
        results = self._client.do_action(pyarrow.flight.Action(name, body), self._options)
        return [result.body.to_pybytes() for result in results]

    def rows(self, name: str, body: bytes) -> pyarrow.Table:
        """GetFlightInfo, and DoGet of each endpoint."""
        descriptor = pyarrow.flight.FlightDescriptor.for_command(command(name, body))
        info = self._client.get_flight_info(descriptor, self._options)
        (endpoint,) = info.endpoints
        assert endpoint.locations == []
        return self._client.do_get(endpoint.ticket, self._options).read_all()

    def prepare(self, sql: str) -> dict[int, bytes]:
        """The fields of ActionCreatePreparedStatementResult."""
        asked = command("ActionCreatePreparedStatementRequest", message(1, sql.encode()))
        (result,) = self._act("CreatePreparedStatement", asked)
        return fields(fields(result)[2])

    def query(self, sql: str, *values: object) -> pyarrow.Table:
        """`prepareStatement`, `executeQuery`, `close`."""
        prepared = self.prepare(sql)
        assert prepared[4] == b"\x00", "a question is no update"
        handle = prepared[1]
        if values:
            types = pyarrow.ipc.read_schema(pyarrow.py_buffer(prepared[3]))
            arrays = [pyarrow.array([v], f.type) for v, f in zip(values, types, strict=True)]
            row = pyarrow.record_batch(arrays, schema=types)
            descriptor = pyarrow.flight.FlightDescriptor.for_command(
                command("CommandPreparedStatementQuery", message(1, handle))
            )
            writer, reader = self._client.do_put(descriptor, types, self._options)
            writer.write_batch(row)
            writer.done_writing()
            handle = fields(reader.read().to_pybytes())[1]
            writer.close()
        table = self.rows("CommandPreparedStatementQuery", message(1, handle))
        self._act("ClosePreparedStatement", command("ActionClosePreparedStatementRequest"))
        return table

    def close(self) -> None:
        self._act("CloseSession", b"")
        self._client.close()


def fields(data: bytes) -> dict[int, bytes]:
    """The fields of a protobuf message; those of numbers as one byte."""

    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

    found, at = {}, 0
    while at < len(data):
        tag, at = number(at)
        size, at = number(at)
        if tag & 7 == 0:
            found[tag >> 3] = bytes([size])
            continue
        found[tag >> 3], at = data[at : at + size], at + size
    return found


def test_jdbcs_calls_are_answered(flight: Server) -> None:
    jdbc = Jdbc(flight, "ana", PASSWORD, DATASET)
    sql = "SELECT region, count(*) AS n FROM shop.main.customers GROUP BY region"
    with ledger(flight, "ana") as told:
        table = jdbc.query(sql)
        assert table.column_names == ["region", "n"] and table.num_rows == 5
        assert jdbc.query(sql).equals(table)
    assert told.entries == [QUOTE, QUOTE, *PAID, QUOTE, QUOTE, REUSE]
    # DatabaseMetaData: all of SqlInfo at once, then what a tree of tables shows.
    with ledger(flight, "ana") as told:
        assert jdbc.rows("CommandGetSqlInfo", b"").num_rows > 70
        assert jdbc.rows("CommandGetCatalogs", b"")["catalog_name"].to_pylist() == [DATASET]
        schemas = jdbc.rows("CommandGetDbSchemas", message(1, DATASET.encode()))
        assert schemas["db_schema_name"].to_pylist() == ["main", "undertone"]
        everything = (
            message(1, DATASET.encode()) + message(2, b"%") + message(3, b"%") + b"\x28\x01"
        )
        tables = jdbc.rows("CommandGetTables", everything)
        assert tables.num_rows == 8
        (orders,) = [row for row in tables.to_pylist() if row["table_name"] == "orders"]
        schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(orders["table_schema"]))
        assert schema.field("amount").metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"] == b"DOUBLE"
        types = message(4, b"TABLE")
        assert jdbc.rows("CommandGetTables", types)["table_name"].to_pylist() == [
            *("categories", "customers", "orders", "tickets"),
        ]
        assert jdbc.rows("CommandGetTableTypes", b"").num_rows == 2
        # How DBeaver shows a table's data: refused, and nothing is charged.
        with pytest.raises(pyarrow.lib.ArrowInvalid, match="ask instead"):
            jdbc.query("SELECT * FROM shop.main.orders LIMIT 200")
    assert told.charges == 0
    # Parameters are bound in the types that the server tells.
    sql = "SELECT count(*) AS n FROM orders WHERE amount > ? AND category = ?"
    with ledger(flight, "ana") as told:
        table = jdbc.query(sql, 10.5, "books")
        assert table.num_rows == 1
    assert told.entries == [QUOTE, *PAID]
    jdbc.close()
    client = pyarrow.flight.FlightClient(uri(flight))
    catalogs = pyarrow.flight.FlightDescriptor.for_command(command("CommandGetCatalogs"))
    with pytest.raises(pyarrow.flight.FlightUnauthenticatedError, match="has ended"):
        client.get_flight_info(catalogs, jdbc._options)


def test_a_prepared_statement_tells_its_types_before_its_values(flight: Server) -> None:
    jdbc = Jdbc(flight, "ana", flight.token("ana"), "")
    rows = "FROM orders WHERE ordered_on >= $1 AND quantity < $2 GROUP BY category"
    sql = f"SELECT category, sum(quantity) AS s {rows}"
    with ledger(flight, "ana") as told:
        prepared = jdbc.prepare(sql)
    assert told.entries == [], "a price without values"
    answer = pyarrow.ipc.read_schema(pyarrow.py_buffer(prepared[2]))
    assert [(f.name, f.type) for f in answer] == [
        ("category", pyarrow.string()),
        ("s", pyarrow.int64()),
    ]
    parameters = pyarrow.ipc.read_schema(pyarrow.py_buffer(prepared[3]))
    assert [f.type for f in parameters] == [pyarrow.date32(), pyarrow.int64()]
    # A forged handle, one of somebody else, and one without values.
    client = pyarrow.flight.FlightClient(uri(flight))
    for handle, who, words in [
        (b"SELECT 1", "ana", "not of this server"),
        (prepared[1], "ben", "somebody else's"),
        (prepared[1], "ana", "has no value"),
    ]:
        descriptor = pyarrow.flight.FlightDescriptor.for_command(
            command("CommandPreparedStatementQuery", message(1, handle))
        )
        with pytest.raises(pyarrow.lib.ArrowInvalid, match=words):
            client.get_flight_info(descriptor, bearer(flight, who))
    jdbc.close()

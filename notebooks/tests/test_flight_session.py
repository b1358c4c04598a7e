"""Sessions over Arrow Flight SQL: credentials, options, cancelling, and bursts of statements."""

import contextlib
import json
import threading
import time

import grpc
import pyarrow
import pyarrow.flight
import pytest
from adbc_driver_flightsql import dbapi

import undertone
from flight import (
    ANSWER,
    CHARGE,
    QUOTE,
    bearer,
    connect,
    ledger,
    message,
    options,
    set_options,
    statement,
    uri,
)
from real import PASSWORD, PURPOSE, Server

pytestmark = pytest.mark.filterwarnings("error")


def test_a_name_and_a_password_are_a_credential_too(flight: Server) -> None:
    for name, password, fine in [
        ("ana", PASSWORD, True),
        ("ana", flight.token("ana"), True),
        ("ben", flight.token("ana"), False),
        ("ben", PASSWORD, False),
        ("ana", "wrong:with:colons", False),
        ("nobody", PASSWORD, False),
    ]:
        kwargs = {"username": name, "password": password}
        if fine:
            with dbapi.connect(uri(flight), db_kwargs=kwargs) as connection:
                assert "TABLE" in connection.adbc_get_table_types()
                with connection.cursor() as cursor:
                    cursor.execute("SELECT DISTINCT dataset FROM undertone.columns")
                    assert cursor.fetchall() == [("shop",)]
        else:
            with pytest.raises(dbapi.ProgrammingError, match="password is not known"):
                dbapi.connect(uri(flight), db_kwargs=kwargs)


def test_a_sessions_credential_opens_flight_alone_and_ends(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    name, credential = client.authenticate_basic_token("ana", PASSWORD)
    assert name == b"authorization" and credential.startswith(b"Bearer us_")
    session = options(credential.decode())
    descriptor = statement("SELECT * FROM undertone.budget")
    assert client.get_flight_info(descriptor, session).total_records == -1
    # It is for nothing else: not for the gRPC services, and not as a password.
    token = credential.decode().removeprefix("Bearer ")
    with (
        undertone.connect(flight.url, token, dataset="shop") as other,
        pytest.raises(undertone.AuthError),
    ):
        other.budget()
    with pytest.raises(pyarrow.flight.FlightUnauthenticatedError):
        client.authenticate_basic_token("ana", token)
    # Closed, it opens nothing.
    closed = list(client.do_action(pyarrow.flight.Action("CloseSession", b""), session))
    assert [result.body.to_pybytes() for result in closed] == [b"\x08\x01"]
    with pytest.raises(pyarrow.flight.FlightUnauthenticatedError, match="has ended"):
        client.get_flight_info(descriptor, session)


def test_a_password_that_was_changed_ends_its_sessions(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    _, credential = client.authenticate_basic_token("ana", PASSWORD)
    session, descriptor = options(credential.decode()), statement("SELECT 1 FROM undertone.budget")
    client.get_flight_info(descriptor, session)
    flight.set_password("ana", "another password")
    flight.reload()
    try:
        with pytest.raises(pyarrow.flight.FlightUnauthenticatedError):
            client.authenticate_basic_token("ana", PASSWORD)
        with pytest.raises(pyarrow.flight.FlightUnauthenticatedError, match="has ended"):
            client.get_flight_info(descriptor, session)
    finally:
        flight.set_password("ana", PASSWORD)
        flight.reload()


def test_options_are_set_in_the_session_and_checked(flight: Server) -> None:
    sql = "SELECT count(*) AS n FROM tickets WHERE minutes > 5"

    def price(connection: dbapi.Connection) -> float:
        with connection.cursor() as cursor:
            schema = cursor.adbc_execute_schema(sql)
        return float(json.loads(schema.metadata[b"undertone.quote"])["price"]["rho"])

    with connect(flight, "ana") as one, connect(flight, "ana") as other:
        before = price(one)
        set_options(one, epsilon="0.5", purpose=PURPOSE, dataset="shop")
        assert price(one) > 10 * before
        # Of this connection alone.
        assert price(other) == before
        told = json.loads(one.adbc_connection.get_option("adbc.flight.sql.session.options"))
        assert told == {"epsilon": "0.5", "purpose": PURPOSE, "catalog": "shop"}
        assert one.adbc_current_catalog == "shop"
        for name, value, words in [
            ("epsilon", "plenty", "must be a number above 0"),
            ("epsilon", "0", "must be a number above 0"),
            ("epsilom", "1", "there is no option 'epsilom': there are"),
            ("purpose", "", "must be a name"),
            ("schema", "public", "must be main"),
            ("mechanism", "uniform", "automatic, laplace or gaussian"),
            ("intervals", "perhaps", "true or false"),
        ]:
            with pytest.raises(dbapi.ProgrammingError, match=words):
                set_options(one, **{name: value})
        one.adbc_connection.set_options(**{"adbc.flight.sql.session.optionerase.epsilon": ""})
        assert price(one) == before
        set_options(one, purpose="curiosity")
        with pytest.raises(dbapi.ProgrammingError, match="no grant for purpose 'curiosity'"):
            price(one)
    with (
        connect(flight, "ana", epsilom="1") as wrong,
        pytest.raises(dbapi.ProgrammingError, match="there is no option 'epsilom'"),
    ):
        price(wrong)
    # An error in the place of a price.
    with connect(flight, "ana", error="200") as connection, connection.cursor() as cursor:
        (column,) = json.loads(cursor.adbc_execute_schema(sql).metadata[b"undertone.quote"])[
            "columns"
        ]
        assert 150 < column["half_width"] <= 200


def test_a_token_in_a_header_has_no_session_to_set_options_in(flight: Server) -> None:
    kwargs = {"adbc.flight.sql.authorization_header": f"Bearer {flight.token('ana')}"}
    with dbapi.connect(uri(flight), db_kwargs=kwargs) as connection:
        with pytest.raises(dbapi.ProgrammingError, match="send options as headers"):
            set_options(connection, epsilon="0.5")
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM undertone.budget")
            assert len(cursor.fetchall()) == 2


def test_a_cookie_carries_a_session_beside_a_token(flight: Server) -> None:
    """As JDBC does it, which shakes hands with its token and keeps it."""
    with grpc.insecure_channel(flight.url.removeprefix("http://")) as channel:
        handshake = channel.stream_stream(
            "/arrow.flight.protocol.FlightService/Handshake",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        token = f"Bearer {flight.token('ana')}"
        call = handshake(iter([]), metadata=[("authorization", token)], timeout=30)
        given = dict(call.initial_metadata())
        list(call)
    cookie = given["set-cookie"].partition(";")[0]
    assert cookie.startswith("arrow_flight_session_id=us_")
    client = pyarrow.flight.FlightClient(uri(flight))
    session = options(token, ("cookie", f"other=1; {cookie}"))
    wanted = message(1, b"epsilon") + message(2, message(1, b"0.5"))
    action = pyarrow.flight.Action("SetSessionOptions", message(1, wanted))
    list(client.do_action(action, session))
    (told,) = client.do_action(pyarrow.flight.Action("GetSessionOptions", b""), session)
    assert b"epsilon" in told.body.to_pybytes()
    # Somebody else's, and one that has ended, are refused: options are never left out in silence.
    for who, value in [("ben", cookie), ("ana", cookie[:-1] + "x")]:
        wrong = options(f"Bearer {flight.token(who)}", ("cookie", value))
        with pytest.raises(pyarrow.flight.FlightUnauthenticatedError, match="has ended"):
            client.get_flight_info(statement("SELECT * FROM undertone.budget"), wrong)


def test_intervals_are_columns_on_request(flight: Server) -> None:
    sql = "SELECT category, count(*) AS n, avg(amount) AS mean FROM orders GROUP BY category"
    with connect(flight, "ana") as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        plain = cursor.fetch_arrow_table()
        set_options(connection, intervals="true")
        with ledger(flight, "ana") as told, connection.cursor() as another:
            schema = another.adbc_execute_schema(sql)
            cursor.execute(sql)
            table = cursor.fetch_arrow_table()
        assert told.charges == 0, "another view of an answer was paid for"
        assert table.schema.equals(schema)
        assert table.column_names == [
            "category",
            *("n", "n_low", "n_high"),
            *("mean", "mean_low", "mean_high"),
        ]
        assert table.select(plain.column_names).equals(plain)
        for row in table.to_pylist():
            assert row["n_low"] < row["n"] < row["n_high"]
            assert row["mean_low"] <= row["mean"] <= row["mean_high"]


def test_a_ticket_is_read_with_the_options_of_its_price(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    half = ("undertone-epsilon", "0.5")
    sql = "SELECT count(*) AS n FROM orders WHERE quantity > 3"
    with ledger(flight, "ana") as told:
        info = client.get_flight_info(statement(sql), bearer(flight, "ana", half))
        ticket = info.endpoints[0].ticket
        with pytest.raises(pyarrow.lib.ArrowInvalid, match=r"epsilon is 0\.01 here"):
            less = bearer(flight, "ana", ("undertone-epsilon", "0.01"))
            client.do_get(ticket, less).read_all()
    assert told.charges == 0
    with ledger(flight, "ana") as told:
        assert client.do_get(ticket, bearer(flight, "ana", half)).read_all().num_rows == 1
    assert told.charges == 1


def test_the_ends_of_intervals_take_no_columns_name(flight: Server) -> None:
    with (
        connect(flight, "ana", intervals="true") as connection,
        connection.cursor() as cursor,
        pytest.raises(dbapi.ProgrammingError, match="both called 'n_low'"),
    ):
        cursor.adbc_execute_schema("SELECT count(*) AS n, 5 AS n_low FROM orders")


def test_a_burst_of_statements_is_asked_about(flight: Server) -> None:
    def ask(connection: dbapi.Connection, minutes: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) AS n FROM tickets WHERE minutes < {minutes}")
            cursor.fetchall()

    with connect(flight, "ben", allow_bursts="false", epsilon="0.05") as connection:
        with ledger(flight, "ben") as told:
            for minutes in range(100, 103):
                ask(connection, minutes)
        assert told.charges == 3
        with ledger(flight, "ben") as told:
            with pytest.raises(dbapi.ProgrammingError, match="within a minute") as caught:
                ask(connection, 103)
            assert "allow_bursts" in str(caught.value) and "not charged" in str(caught.value)
            # What is known is free, and so are prices.
            ask(connection, 101)
        assert told.charges == 0
    with connect(flight, "ben", allow_bursts="true", epsilon="0.05") as connection:
        with ledger(flight, "ben") as told:
            ask(connection, 103)
        assert told.charges == 1


def cancel(
    client: pyarrow.flight.FlightClient, info: pyarrow.flight.FlightInfo, who: object
) -> int:
    """What CancelFlightInfo says: 1 is cancelled, 3 cannot be cancelled."""
    action = pyarrow.flight.Action("CancelFlightInfo", message(1, info.serialize()))
    (result,) = client.do_action(action, who)
    (tag, status) = result.body.to_pybytes()
    assert tag == 8
    return status


def test_what_is_not_charged_can_be_cancelled(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    ana = bearer(flight, "ana")
    with ledger(flight, "ana") as told:
        info = client.get_flight_info(statement("SELECT count(*) AS n FROM orders"), ana)
        assert cancel(client, info, ana) == 1
        with pytest.raises(pyarrow.lib.ArrowInvalid, match="cancelled before it was charged"):
            client.do_get(info.endpoints[0].ticket, ana).read_all()
        with pytest.raises(pyarrow.lib.ArrowInvalid, match="somebody else's"):
            cancel(client, info, bearer(flight, "ben"))
    assert told.charges == 0
    with ledger(flight, "ana") as told:
        info = client.get_flight_info(statement("SELECT count(*) AS n FROM orders"), ana)
        first = client.do_get(info.endpoints[0].ticket, ana).read_all()
        assert cancel(client, info, ana) == 3
        assert client.do_get(info.endpoints[0].ticket, ana).read_all().equals(first)
    assert told.entries == [QUOTE, CHARGE, ANSWER]


def test_what_is_being_answered_is_cancelled_whole_or_not_at_all(flight: Server) -> None:
    client, other = (pyarrow.flight.FlightClient(uri(flight)) for _ in range(2))
    ana = bearer(flight, "ana")
    outcomes = []
    for n in range(8):
        sql = f"SELECT topic, avg(minutes) AS mean FROM tickets WHERE minutes <> {n} GROUP BY topic"
        with ledger(flight, "ana") as told:
            info = client.get_flight_info(statement(sql), ana)
            rows: list[int] = []

            def read(info: pyarrow.flight.FlightInfo = info, rows: list[int] = rows) -> None:
                with contextlib.suppress(pyarrow.lib.ArrowInvalid):
                    rows.append(client.do_get(info.endpoints[0].ticket, ana).read_all().num_rows)

            reading = threading.Thread(target=read)
            reading.start()
            time.sleep(0.004 * n)
            status = cancel(other, info, ana)
            reading.join()
        outcomes.append((status, rows, told.charges))
    assert set(map(str, outcomes)) <= {str((1, [], 0)), str((3, [6], 1))}, outcomes
    assert outcomes[-1][0] == 3, "what was charged was cancelled"


def test_whoever_goes_away_finds_the_answer_or_pays_nothing(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    ana = bearer(flight, "ana")
    for minutes, wait in [(40, 0.0), (41, 0.01), (42, 0.05), (43, 0.2)]:
        rows = f"FROM tickets WHERE minutes > {minutes} GROUP BY topic"
        sql = f"SELECT topic, avg(minutes) AS mean {rows}"
        with ledger(flight, "ana") as told:
            info = client.get_flight_info(statement(sql), ana)
            other = pyarrow.flight.FlightClient(uri(flight))
            leaving = threading.Thread(target=_quietly, args=(other, info.endpoints[0].ticket, ana))
            leaving.start()
            time.sleep(wait)
            other.close()
            leaving.join()
            table = client.do_get(info.endpoints[0].ticket, ana).read_all()
        assert table.num_rows == 6
        assert told.charges == 1, "whoever went away paid twice"


def _quietly(
    client: pyarrow.flight.FlightClient, ticket: pyarrow.flight.Ticket, who: object
) -> None:
    with contextlib.suppress(pyarrow.lib.ArrowException, OSError, ValueError):
        client.do_get(ticket, who).read_all()

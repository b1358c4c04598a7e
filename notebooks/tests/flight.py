"""The stock Arrow Flight SQL driver, and what the ledger says of each of its calls."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow.flight
from adbc_driver_flightsql import dbapi

from real import Server

HEADER = "adbc.flight.sql.rpc.call_header."
OPTION = "adbc.flight.sql.session.option."

QUOTE = ("quote", None)
CHARGE = ("charge", "flight_get")
ANSWER = ("answer", None)
REUSE = ("reuse", "flight_get")
PAID = [CHARGE, ANSWER]


def uri(server: Server) -> str:
    return server.url.replace("http://", "grpc://")


def connect(server: Server, who: str, **headers: str) -> dbapi.Connection:
    """A connection with a session; `headers` are the server's options, such as `epsilon`."""
    options = {"username": who, "password": server.token(who)}
    # Tests ask more within a minute than people do.
    headers = {"allow_bursts": "true"} | headers
    options |= {f"{HEADER}undertone-{k.replace('_', '-')}": v for k, v in headers.items()}
    return dbapi.connect(uri(server), db_kwargs=options)


def set_options(connection: dbapi.Connection, **options: str) -> None:
    """Set options of the connection's session."""
    connection.adbc_connection.set_options(**{OPTION + k: v for k, v in options.items()})


@dataclass
class Told:
    """What the log says of a principal: (kind of entry, call) each."""

    entries: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def charges(self) -> int:
        return sum(kind == "charge" for kind, _ in self.entries)


@contextlib.contextmanager
def ledger(server: Server, who: str) -> Iterator[Told]:
    """The ledger's own account of what happens in the block, complete when it ends."""
    told = Told()
    with server.govern("audrey") as auditor:
        before = auditor.head().entries
    yield told
    with server.govern("audrey") as auditor:
        for entry in auditor.log(before + 1):
            body = json.loads(entry.body)
            if body.get("principal") == who:
                told.entries.append((entry.kind, body.get("call")))


# Messages of Flight SQL by hand, for what the driver does not send.


def message(number: int, value: bytes) -> bytes:
    """A field of bytes of a protobuf message."""
    assert len(value) < 1 << 14
    size = len(value)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + value


def command(name: str, body: bytes = b"") -> bytes:
    """A command within google.protobuf.Any."""
    url = f"type.googleapis.com/arrow.flight.protocol.sql.{name}".encode()
    return message(1, url) + message(2, body)


def statement(sql: str) -> pyarrow.flight.FlightDescriptor:
    query = command("CommandStatementQuery", message(1, sql.encode()))
    return pyarrow.flight.FlightDescriptor.for_command(query)


def options(credential: str, *headers: tuple[str, str]) -> pyarrow.flight.FlightCallOptions:
    pairs = [("authorization", credential), ("undertone-allow-bursts", "true"), *headers]
    return pyarrow.flight.FlightCallOptions(
        headers=[(name.encode(), value.encode()) for name, value in pairs]
    )


def bearer(server: Server, who: str, *headers: tuple[str, str]) -> pyarrow.flight.FlightCallOptions:
    return options(f"Bearer {server.token(who)}", *headers)

"""What nobody should send over Arrow Flight SQL: damaged parameters, floods, forged calls."""

import datetime
import decimal
import itertools
import random
import struct
from collections.abc import Iterator

import grpc
import pyarrow
import pyarrow.flight
import pytest

from flight import bearer, command, ledger, message, statement, uri
from real import Server

pytestmark = pytest.mark.filterwarnings("error")

SERVICE = "/arrow.flight.protocol.FlightService/"
SQL = "SELECT count(*) AS n FROM orders WHERE amount > ?"


@pytest.fixture
def channel(flight: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(flight.url.removeprefix("http://")) as channel:
        yield channel


def prepared(server: Server) -> bytes:
    """The command of a prepared statement with one parameter."""
    client = pyarrow.flight.FlightClient(uri(server))
    asked = command("ActionCreatePreparedStatementRequest", message(1, SQL.encode()))
    action = pyarrow.flight.Action("CreatePreparedStatement", asked)
    (result,) = client.do_action(action, bearer(server, "ana"))
    body = result.body.to_pybytes()
    # Its first field is the handle: of 128 bytes and more.
    start = body.index(b"\x0a", body.index(b"Result")) + 1
    size, start = (body[start] & 127) | body[start + 1] << 7, start + 2
    return command("CommandPreparedStatementQuery", message(1, body[start : start + size]))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pyarrow.array([b"x"]), "Binary"),
        (pyarrow.array(["x"]).dictionary_encode(), "Dictionary"),
        (pyarrow.array(["x"], pyarrow.string_view()), "Utf8View"),
        (pyarrow.array([[1]]), "List"),
        (pyarrow.array([{"a": 1}]), "Struct"),
        (pyarrow.RunEndEncodedArray.from_arrays([1], ["x"]), "RunEndEncoded"),
        (pyarrow.UnionArray.from_sparse(pyarrow.array([0], "int8"), [pyarrow.array([1])]), "Union"),
        (pyarrow.array([decimal.Decimal("1.5")], pyarrow.decimal256(60, 2)), "Decimal256"),
        (pyarrow.array([datetime.time(1)]), "Time"),
        (pyarrow.array([datetime.timedelta(1)]), "Duration"),
        (pyarrow.array([2**63], pyarrow.uint64()), "out of range"),
        (pyarrow.array([1, 2]), "one row of parameters was expected"),
        (pyarrow.array([], pyarrow.int64()), "one row of parameters was expected"),
        (pyarrow.array(range(1000)), "one row of parameters was expected"),
    ],
)
def test_only_one_plain_row_is_bound(flight: Server, value: pyarrow.Array, words: str) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    descriptor = pyarrow.flight.FlightDescriptor.for_command(prepared(flight))
    batch = pyarrow.record_batch([value], names=["$1"])
    with ledger(flight, "ana") as told:
        writer, _ = client.do_put(descriptor, batch.schema, bearer(flight, "ana"))
        with pytest.raises(pyarrow.lib.ArrowInvalid, match=words):
            writer.write_batch(batch)
            writer.close()
    assert [kind for kind, _ in told.entries] == ["refusal"]


def test_compressed_parameters_are_turned_away(flight: Server) -> None:
    client = pyarrow.flight.FlightClient(uri(flight))
    descriptor = pyarrow.flight.FlightDescriptor.for_command(prepared(flight))
    batch = pyarrow.record_batch([pyarrow.array(["x" * 10_000])], names=["$1"])
    for compression in ("zstd", "lz4"):
        compressed = pyarrow.flight.FlightCallOptions(
            headers=[(b"authorization", f"Bearer {flight.token('ana')}".encode())],
            write_options=pyarrow.ipc.IpcWriteOptions(compression=compression),
        )
        writer, _ = client.do_put(descriptor, batch.schema, compressed)
        with pytest.raises(pyarrow.lib.ArrowInvalid, match="compressed"):
            writer.write_batch(batch)
            writer.close()


def parts(encapsulated: pyarrow.Buffer) -> tuple[bytes, bytes]:
    """Header and body of an encapsulated IPC message."""
    data = encapsulated.to_pybytes()
    (size,) = struct.unpack("<i", data[4:8])
    return data[8 : 8 + size], data[8 + size :]


def flight_data(descriptor: bytes, header: bytes, body: bytes) -> bytes:
    made = message(1, b"\x08\x02" + message(2, descriptor)) if descriptor else b""
    # The body's field has number 1000.
    return made + message(2, header) + b"\xc2\x3e" + message(1, body)[1:]


def put(channel: grpc.Channel, token: str, messages: list[bytes]) -> grpc.StatusCode:
    call = channel.stream_stream(
        SERVICE + "DoPut", request_serializer=bytes, response_deserializer=bytes
    )
    try:
        list(call(iter(messages), metadata=[("authorization", f"Bearer {token}")], timeout=30))
    except grpc.RpcError as failure:
        return failure.code()
    return grpc.StatusCode.OK


def test_damaged_parameters_harm_nobody(flight: Server, channel: grpc.Channel) -> None:
    descriptor, token = prepared(flight), flight.token("ana")
    batch = pyarrow.record_batch([pyarrow.array([10.5])], names=["$1"])
    schema, _ = parts(batch.schema.serialize())
    header, body = parts(batch.serialize())
    good = [flight_data(descriptor, schema, b""), flight_data(b"", header, body)]
    assert put(channel, token, good) == grpc.StatusCode.OK
    seen = set()
    chance = random.Random(8)
    with ledger(flight, "ana") as told:
        for n in range(300):
            texts = [bytearray(schema), bytearray(header), bytearray(body)]
            for _ in range(chance.choice([1, 1, 2, 8])):
                text = texts[n % 3]
                text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
            if n % 7 == 0:
                del texts[n % 3][chance.randrange(len(texts[n % 3])) :]
            damaged = [
                flight_data(descriptor, bytes(texts[0]), b""),
                flight_data(b"", bytes(texts[1]), bytes(texts[2])),
            ]
            seen.add(put(channel, token, damaged))
        for wrong in (
            [],
            [b""],
            [b"\xff" * 100],
            good[1:],
            good[:1],
            [*good, *good[1:]],
            good[:1] + [flight_data(b"", b"", b"")] * 20 + good[1:],
        ):
            assert put(channel, token, wrong) != grpc.StatusCode.OK
    assert seen <= {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}, seen
    assert told.charges == 0
    assert put(channel, token, good) == grpc.StatusCode.OK


def test_floods_are_turned_away(flight: Server, channel: grpc.Channel) -> None:
    token = flight.token("ana")
    who = [("authorization", f"Bearer {token}")]
    action = channel.unary_stream(
        SERVICE + "DoAction", request_serializer=bytes, response_deserializer=bytes
    )
    large = b"\x0a\x01x\x12" + b"\x80\x80\x80\x02" + b"x" * (4 << 20)
    for request, metadata, codes in [
        # A message above the server's limit, and headers above it.
        (large, who, {grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED}),
        (
            b"",
            [*who, *((f"x-{n}", "y" * 1000) for n in range(100))],
            {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED},
        ),
    ]:
        with pytest.raises(grpc.RpcError) as caught:
            list(action(request, metadata=metadata, timeout=30))
        assert caught.value.code() in codes
    # What comes in is not unpacked.
    with pytest.raises(grpc.RpcError) as caught:
        list(action(b"x" * 1000, metadata=who, compression=grpc.Compression.Gzip, timeout=30))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    # A stream of parameters without an end: the first ones say enough.
    descriptor = prepared(flight)
    schema, _ = parts(pyarrow.schema([("$1", pyarrow.float64())]).serialize())
    endless = itertools.repeat(flight_data(descriptor, schema, b""))
    call = channel.stream_stream(
        SERVICE + "DoPut", request_serializer=bytes, response_deserializer=bytes
    )
    with pytest.raises(grpc.RpcError) as caught:
        list(call(endless, metadata=who, timeout=30))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    # And before all, whoever it is.
    with pytest.raises(grpc.RpcError) as caught:
        list(call(itertools.repeat(b""), timeout=30))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    client = pyarrow.flight.FlightClient(uri(flight))
    client.get_flight_info(statement("SELECT * FROM undertone.budget"), bearer(flight, "ana"))


def test_progress_is_not_told(flight: Server, channel: grpc.Channel) -> None:
    poll = channel.unary_unary(
        SERVICE + "PollFlightInfo", request_serializer=bytes, response_deserializer=bytes
    )
    with pytest.raises(grpc.RpcError) as caught:
        poll(b"", metadata=[("authorization", f"Bearer {flight.token('ana')}")], timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_an_answer_that_nobody_reads_holds_up_nobody(flight: Server) -> None:
    """Readers that stop in the middle, more of them than questions may run at once."""
    client = pyarrow.flight.FlightClient(uri(flight))
    ana = bearer(flight, "ana")
    descriptor = statement("SELECT category, count(*) AS n FROM orders GROUP BY category")
    ticket = client.get_flight_info(descriptor, ana).endpoints[0].ticket
    readers = [client.do_get(ticket, ana) for _ in range(40)]
    for reader in readers:
        assert reader.schema.names == ["category", "n"]
    other = pyarrow.flight.FlightClient(uri(flight))
    with ledger(flight, "ana") as told:
        info = other.get_flight_info(statement("SELECT count(*) AS n FROM customers"), ana)
        assert other.do_get(info.endpoints[0].ticket, ana).read_all().num_rows == 1
    assert told.charges == 1
    for reader in readers:
        reader.cancel()

import contextlib
import socket
import struct
import threading
import time

import grpc
import pytest

import undertone
from fake import Failure, Fake, serving
from undertone import UndertoneError, _retry

SQL = "SELECT COUNT(*) AS n FROM orders"
LOST = Failure(grpc.StatusCode.UNAVAILABLE, "gone")


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(_retry, "FIRST_PAUSE", 0.01)


def ids(fake):
    return [call.request.query_id for call in fake.calls]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "failure",
    [
        LOST,
        Failure(grpc.StatusCode.UNAVAILABLE, "shutting down", code="SHUTTING_DOWN"),
        Failure(grpc.StatusCode.UNAVAILABLE, "no place", code="SERVER_BUSY"),
        Failure(grpc.StatusCode.UNAVAILABLE, "another policy", code="POLICY_CHANGED"),
        Failure(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        Failure(grpc.StatusCode.CANCELLED, "Received RST_STREAM with error code 8"),
        Failure(grpc.StatusCode.UNKNOWN, "Stream removed"),
    ],
)
def test_a_lost_query_is_asked_again_under_the_same_id(fake, client, failure):
    fake.failures += [failure] * 2
    answer = client.query(SQL)
    assert ids(fake) == [answer.query_id] * 3
    assert len({call.request.SerializeToString() for call in fake.calls}) == 1


@pytest.mark.usefixtures("hurried")
def test_a_lost_refinement_is_asked_again_under_the_same_id(fake, client):
    fake.failures += [LOST] * 2
    refined = client.refine("q7")
    assert ids(fake) == [refined.query_id] * 3
    assert len({call.request.SerializeToString() for call in fake.calls}) == 1


@pytest.mark.usefixtures("hurried")
def test_a_given_id_is_kept(fake, client):
    fake.failures.append(LOST)
    client.query(SQL, query_id="q7", fresh=True)
    assert ids(fake) == ["q7", "q7"]


@pytest.mark.usefixtures("hurried")
def test_the_client_gives_up_in_the_end(fake, client):
    fake.failures += [LOST] * 10
    with pytest.raises(UndertoneError, match=r"no answer from .*: gone .*Client\.answer") as caught:
        client.query(SQL)
    assert ids(fake) == [caught.value.query_id] * _retry.ATTEMPTS
    assert caught.value.code == "UNAVAILABLE"


@pytest.mark.parametrize(
    "failure",
    [
        Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, code="BUDGET_EXHAUSTED"),
        Failure(grpc.StatusCode.PERMISSION_DENIED, code="NOT_PERMITTED"),
        Failure(grpc.StatusCode.INVALID_ARGUMENT, code="UNSUPPORTED_SQL"),
        Failure(grpc.StatusCode.INTERNAL, code="INTERNAL"),
        Failure(grpc.StatusCode.UNAUTHENTICATED),
        Failure(grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
def test_a_judgement_is_not_asked_for_again(fake, client, failure):
    fake.failures.append(failure)
    with pytest.raises(UndertoneError):
        client.query(SQL)
    assert len(fake.calls) == 1


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.quote(SQL),
        lambda client: client.quote_refinement("q7"),
        lambda client: client.answer("q7"),
        lambda client: client.budget(),
        lambda client: client.requests(),
        lambda client: client.datasets(),
    ],
)
def test_the_other_calls_are_repeated_too(fake, client, call):
    fake.failures.append(LOST)
    call(client)
    assert len(fake.calls) == 2


def test_pauses_do_not_outlast_the_timeout(fake):
    fake.failures += [LOST] * 10
    start = time.monotonic()
    with (
        undertone.connect(fake.url, "secret", timeout=0.7) as client,
        pytest.raises(UndertoneError),
    ):
        client.budget()
    assert time.monotonic() - start < 1.5
    assert 2 <= len(fake.calls) < _retry.ATTEMPTS


def test_a_server_that_starts_late_is_found():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    fake = Fake()
    with contextlib.ExitStack() as stack:
        timer = threading.Timer(0.5, lambda: stack.enter_context(serving(fake, address)))
        timer.start()
        with undertone.connect(address, "secret", dataset="shop", purpose="testing") as client:
            assert client.query(SQL).table.num_rows == 2
        timer.join()


class CuttingRelay:
    """Relays connections to a server, and resets the first one when told."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[tuple[socket.socket, socket.socket]] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for end in self._sockets[0]:
            # To linger for no time at all is to send a reset instead of a farewell.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)
            end.close()

    def close(self) -> None:
        self._listener.close()

    @property
    def connections(self) -> int:
        return len(self._sockets)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._server)
                self._sockets.append((near, far))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=ends, daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)


@pytest.mark.usefixtures("hurried")
def test_a_connection_that_is_reset_amid_an_answer(fake):
    relay = CuttingRelay(int(fake.url.rpartition(":")[2]))
    fake.hold = threading.Event()
    cuts = []

    def cut_once(_):
        if not cuts:
            cuts.append(True)
            relay.cut()
            fake.hold.set()

    with (
        contextlib.closing(relay),
        undertone.connect(relay.address, "secret", dataset="shop", purpose="testing") as client,
    ):
        answer = client.query(SQL, progress=cut_once)
    assert ids(fake) == [answer.query_id] * 2
    assert relay.connections == 2

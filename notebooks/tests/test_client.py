import io
import sys
import threading
import time
from decimal import Decimal

import grpc
import pytest

import undertone
from fake import Failure, Fake, serving
from undertone import Accuracy, ProgressLine, UndertoneError
from undertone._generated import undertone_pb2 as pb

SQL = "SELECT COUNT(*) AS n FROM orders"


def test_a_plain_query(fake, client):
    answer = client.query(SQL)
    (call,) = fake.calls
    assert call.metadata["authorization"] == "Bearer secret"
    assert call.metadata["user-agent"].startswith("undertone-python/")
    assert call.request.question == pb.Question(dataset="shop", sql=SQL, purpose="testing")
    assert call.request.fresh is False
    assert len(call.request.query_id) == 32
    assert answer.query_id == call.request.query_id
    assert answer.table.num_rows == 2
    assert not answer.replayed


def test_every_choice_reaches_the_server(fake, client):
    client.query(
        SQL,
        epsilon=Decimal("0.100000000000000001"),
        query_id="q7",
        fresh=True,
        mechanism="gaussian",
        max_groups_contributed=2,
        max_rows_contributed=3,
        dataset="other",
        purpose="fun",
    )
    assert fake.calls[0].request == pb.ExecuteRequest(
        question=pb.Question(
            dataset="other",
            sql=SQL,
            purpose="fun",
            epsilon="0.100000000000000001",
            max_groups_contributed=2,
            max_rows_contributed=3,
            mechanism=pb.MECHANISM_GAUSSIAN,
        ),
        query_id="q7",
        fresh=True,
    )


def test_each_query_has_an_id_of_its_own(fake, client):
    client.query(SQL)
    client.query(SQL)
    assert len({call.request.query_id for call in fake.calls}) == 2


def test_quote(fake, client):
    quote = client.quote(SQL, epsilon=0.5)
    assert fake.calls[0].request.question.epsilon == "0.5"
    assert quote.price.epsilon == Decimal("0.5")
    assert quote.columns[0].half_width == 12
    assert quote.affordable
    assert repr(quote).splitlines()[0] == "Quote: ε = 0.5, ρ = 0.125"
    assert repr(quote).endswith("Left: ε 9.5 of 10, or ρ 1.375 of 1.5 (affordable).")
    assert "± 12" in quote._repr_html_()


def test_a_refinement(fake, client):
    first = client.query(SQL)
    refined = client.refine(first)
    request = fake.calls[1].request
    assert request.refinement == pb.Refinement(of=first.query_id)
    assert len(request.query_id) == 32
    assert refined.query_id == request.query_id != first.query_id
    assert refined.receipt.refines == first.query_id
    assert first.receipt.refines is None
    assert refined.receipt.releases[0].numbers[0].draws == 2
    # The next one is beside the refined answer, not the first.
    client.refine(refined)
    assert fake.calls[2].request.refinement.of == refined.query_id


def test_every_choice_of_a_refinement_reaches_the_server(fake, client):
    client.refine("q7", epsilon=0.5, mechanism="laplace", query_id="q8")
    assert fake.calls[0].request == pb.RefineRequest(
        refinement=pb.Refinement(of="q7", epsilon="0.5", mechanism=pb.MECHANISM_LAPLACE),
        query_id="q8",
    )
    client.quote_refinement("q7", epsilon=Decimal("0.5"), mechanism="gaussian")
    assert fake.calls[1].request == pb.QuoteRefinementRequest(
        refinement=pb.Refinement(of="q7", epsilon="0.5", mechanism=pb.MECHANISM_GAUSSIAN)
    )


@pytest.mark.parametrize("call", ["refine", "quote_refinement"])
def test_a_relative_error_of_a_refinement_needs_no_magnitude(fake, client, call):
    getattr(client, call)("q7", accuracy=Accuracy(relative_error=0.05))
    wanted = fake.calls[0].request.refinement.accuracy
    assert wanted == pb.Accuracy(relative_error=0.05, confidence=0.95)
    assert not wanted.HasField("magnitude")


def test_quote_of_a_refinement(client):
    quote = client.quote_refinement(client.query(SQL))
    assert quote.price.epsilon == Decimal("0.5")
    assert quote.affordable
    assert "with at most 3 rows in each. Mean of 2 draws. Price: " in repr(quote)
    assert "Mean of 2 draws." in quote._repr_html_()


@pytest.mark.parametrize("call", ["refine", "quote_refinement"])
def test_an_answer_that_cannot_be_refined(fake, client, call):
    fake.failures.append(Failure(grpc.StatusCode.INVALID_ARGUMENT, "quantiles", "INVALID_REQUEST"))
    with pytest.raises(UndertoneError, match=r"^quantiles$") as caught:
        getattr(client, call)("q7")
    assert caught.value.code == "INVALID_REQUEST"
    assert len(fake.calls) == 1


def test_a_refinement_needs_no_dataset_and_no_purpose(fake):
    with undertone.connect(fake.url, "secret") as client:
        client.refine("q7")
        client.quote_refinement("q7")
    assert len(fake.calls) == 2


def test_answer(fake, client):
    answer = client.answer("q7")
    assert fake.calls[0].request == pb.GetAnswerRequest(query_id="q7")
    assert answer.query_id == "q7"
    assert answer.replayed


def test_budget(fake, client):
    balances = client.budget()
    assert fake.calls[0].request.dataset == ""
    assert balances[0].account.remaining_epsilon == Decimal("9.5")
    assert repr(balances).splitlines() == [
        "Budget of ana for shop, testing",
        "                    granted       spent ε  ε left  spent ρ  ρ left  charges",
        "------------------  ------------  -------  ------  -------  ------  -------",
        "this account        ε 10, δ 1e-6      0.5     9.5    0.125   1.375        1",
        "the dataset's pool  ε 10, δ 1e-6      0.5     9.5    0.125   1.375        1",
    ]
    assert "<td" in balances._repr_html_()
    client.budget("shop")
    assert fake.calls[1].request.dataset == "shop"


def test_datasets(client):
    datasets = client.datasets()
    orders = datasets[0].tables[0]
    assert (orders.columns[1].lower, orders.columns[1].upper) == (0, 500)
    assert (orders.columns[0].lower, orders.columns[0].upper) == (None, None)
    assert datasets[0].default_mechanism == "laplace"
    text = repr(datasets)
    assert text.startswith("shop: A shop\nProtects one customer, ")
    assert "orders (protected): one order" in text
    assert "0\u00a0…\u00a0500" in text
    assert "the privacy unit" in text
    assert "orders (protected)" in datasets._repr_html_()


def test_empty_listings(client):
    assert repr(type(client.budget())()) == "(none)"
    assert type(client.budget())()._repr_html_() == "<p>(none)</p>"


def test_a_question_needs_a_dataset_and_a_purpose(fake):
    with undertone.connect(fake.url, "secret") as client:
        with pytest.raises(ValueError, match="no dataset"):
            client.query(SQL, purpose="testing")
        with pytest.raises(ValueError, match="no purpose"):
            client.quote(SQL, dataset="shop")
    assert fake.calls == []


@pytest.mark.parametrize("call", ["query", "quote", "refine", "quote_refinement"])
def test_an_unknown_mechanism(fake, client, call):
    with pytest.raises(ValueError, match="'automatic' or None, not 'cauchy'"):
        getattr(client, call)(SQL, mechanism="cauchy")
    assert fake.calls == []


def test_connect_reads_the_environment(fake, monkeypatch):
    monkeypatch.setenv("UNDERTONE_URL", fake.url)
    monkeypatch.setenv("UNDERTONE_TOKEN", "from-the-environment\n")
    with undertone.connect() as client:
        client.budget()
    assert fake.calls[0].metadata["authorization"] == "Bearer from-the-environment"


def test_ipv6():
    fake = Fake()
    with serving(fake, "[::1]:0") as url, undertone.connect(url, "secret") as client:
        assert len(client.budget()) == 1


def test_no_proxy_sees_the_token(fake, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with undertone.connect(fake.url, "secret") as client:
        assert len(client.budget()) == 1


def test_the_token_is_not_shown(client, fake):
    assert "secret" not in repr(client)
    assert fake.url.removeprefix("http://") in repr(client)


@pytest.mark.parametrize("call", ["query", "refine"])
def test_progress_calls_a_function(client, call):
    seen = []
    getattr(client, call)(SQL, progress=seen.append)
    assert seen == [0, 1.5]


@pytest.mark.parametrize("call", ["query", "refine"])
def test_an_interrupted_query_is_let_go(client, call):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        getattr(client, call)(SQL, progress=interrupt)
    assert client.query(SQL).table.num_rows == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shows"), [(Terminal, True), (io.StringIO, False)])
def test_progress_shows_the_time_on_a_terminal(client, monkeypatch, stream, shows):
    monkeypatch.setattr(sys, "stderr", stream())
    client.query(SQL, progress=True)
    text = sys.stderr.getvalue()
    assert ("\rundertone: 1.5 s" in text) is shows
    assert text == "" or text.endswith("\r")


def test_progress_may_be_forced(client):
    stream = io.StringIO()
    client.query(SQL, progress=ProgressLine(stream, force=True))
    assert stream.getvalue().split("\r") == [
        "",
        "undertone: 0.0 s",
        "undertone: 1.5 s",
        " " * len("undertone: 1.5 s"),
        "",
    ]


class Mute(Fake):
    def Execute(self, request, context):
        yield pb.ExecuteResponse(progress=pb.Progress(elapsed_millis=0))

    Refine = Execute


@pytest.mark.parametrize("call", ["query", "refine"])
def test_a_stream_without_an_answer_is_an_error(call):
    with (
        serving(Mute()) as url,
        undertone.connect(url, "secret", dataset="shop", purpose="testing") as client,
        pytest.raises(UndertoneError, match="without an answer") as caught,
    ):
        getattr(client, call)(SQL, query_id="q8")
    assert caught.value.query_id == "q8"


def test_the_timeout_ends_a_query(fake):
    fake.hold = threading.Event()
    start = time.monotonic()
    with (
        undertone.connect(fake.url, "secret", dataset="shop", purpose="p", timeout=0.3) as client,
        pytest.raises(UndertoneError, match=r"no answer from 127.0.0.1:\d+: .*'q7'") as caught,
    ):
        client.query(SQL, query_id="q7")
    fake.hold.set()
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert caught.value.query_id == "q7"
    assert len(fake.calls) == 1
    assert time.monotonic() - start < 5

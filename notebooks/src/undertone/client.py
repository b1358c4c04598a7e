"""The client: one object per server and caller."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

import grpc

from . import _amounts, _wire, _wire_governance
from ._amounts import Amount
from ._caller import Caller, who_and_where
from ._channel import open_channel
from ._generated import undertone_pb2 as pb
from ._generated.undertone_pb2_grpc import (
    BudgetServiceStub,
    CatalogServiceStub,
    QueryServiceStub,
)
from ._listing import Listing
from ._parameters import Parameter
from ._wire import Mechanism
from .accuracy import Accuracy
from .answer import Answer
from .budget import Balance
from .catalog import Dataset
from .errors import UndertoneError
from .pricing import Quote
from .progress import ProgressLine
from .proposals import Proposal


def connect(
    url: str | None = None,
    token: str | None = None,
    *,
    dataset: str | None = None,
    purpose: str | None = None,
    timeout: float | None = None,
    insecure: bool = False,
) -> Client:
    """Get a client for a server. The connection is made by the first call.

    Args:
        url: Where the server is: `https://host:port`, or `http://127.0.0.1:port` for one on this
            machine. `UNDERTONE_URL` from the environment unless given.
        token: Who is asking. `UNDERTONE_TOKEN` from the environment unless given.
        dataset: Dataset of questions that name none.
        purpose: Purpose of questions that name none.
        timeout: Seconds that one call may take, retries included. None: no limit.
        insecure: Allow the token to travel in plain text to another machine. Only where the way
            there is protected by other means.

    Raises:
        ValueError: The address or the token is missing or malformed, or the token would travel in
            plain text.
    """
    endpoint, token = who_and_where(url, token, insecure=insecure)
    return Client(
        open_channel(endpoint),
        token,
        address=endpoint.authority,
        dataset=dataset,
        purpose=purpose,
        timeout=timeout,
    )


class Client(Caller):
    """Asks one server on behalf of one caller. Made by `connect`; may be shared by threads.

    Every method raises `UndertoneError`, or a subclass that tells more, if its call fails. A call
    that broke on the way is tried a few times more first, and so is one that the server had no
    place for or under which the policy changed. That costs nothing: a query is charged once,
    however often it is asked under one query id. `request_budget` alone is never repeated.

    Args:
        channel: Channel to the server. Closed together with the client.
        token: Bearer token of the caller.
        address: What to call the server in messages.
        dataset: Dataset of questions that name none.
        purpose: Purpose of questions that name none.
        timeout: Seconds that one call may take, retries included. None: no limit.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        token: str,
        *,
        address: str,
        dataset: str | None = None,
        purpose: str | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(channel, token, address=address, timeout=timeout)
        self._dataset = dataset
        self._purpose = purpose
        self._queries = QueryServiceStub(channel)
        self._budgets = BudgetServiceStub(channel)
        self._catalog = CatalogServiceStub(channel)

    def query(
        self,
        sql: str,
        *,
        epsilon: Amount | None = None,
        delta: Amount | None = None,
        query_id: str | None = None,
        fresh: bool = False,
        accuracy: Accuracy | None = None,
        non_negative: bool = False,
        consistent: bool = False,
        mechanism: Mechanism | None = None,
        max_groups_contributed: int | None = None,
        max_rows_contributed: int | None = None,
        parameters: Iterable[Parameter] = (),
        dataset: str | None = None,
        purpose: str | None = None,
        progress: bool | Callable[[float], object] | None = None,
    ) -> Answer:
        """Ask a question, pay for it and get the answer.

        The same question again is answered with the same bytes and charges nothing, unless `fresh`
        is set.

        Args:
            sql: The question.
            epsilon: What the question may cost in all. More buys smaller errors. None: the
                dataset's default. A float is taken as it prints, so 0.1 is 0.1.
            delta: What private keys may cost in delta: grouping by a column whose values are not
                public shows only keys that many privacy units have. None: the dataset's default.
            query_id: Name of this query, at most 64 of [A-Za-z0-9._-]. Made up unless given. Asking
                again under the same id gets the same bytes and pays once.
            fresh: Pay for a new draw of the noise even where this question was answered before.
            accuracy: In the place of epsilon, what counts and sums may be off by: the smallest
                price that does it is charged.
            non_negative: Show counts, and sums of what is never negative, as 0 where noise makes
                them negative. The mean of many such numbers is too large then.
            consistent: Make counts of rows and sums of GROUPING SETS and ROLLUP add up: totals are
                adjusted with their parts by least squares.
            mechanism: "laplace", "gaussian", or "automatic" for whichever has the least error at
                the price. None: the dataset's.
            max_groups_contributed: Groups that one privacy unit may take part in. None: the
                dataset's, which is also the most.
            max_rows_contributed: Rows that one privacy unit may add to one group. None: the
                dataset's, which is also the most.
            parameters: Values of $1, $2, ... in the text, or of one ? after the other. Each means
                what its literal would mean there.
            dataset: Dataset to ask. None: the client's.
            purpose: Why it is asked. None: the client's.
            progress: True shows the elapsed time on stderr if that is a terminal. A function is
                called with the elapsed seconds now and then.

        Raises:
            BudgetError: The budget does not hold the price.
            RefusedError: The question cannot be answered privately as it stands.
            NotPermittedError: It reads what may not be read by this caller or for this purpose.
            AuthError: The server does not accept the token.
            UndertoneError: Anything else. Its `query_id` fetches the answer if it was paid for.
            ValueError: No dataset or purpose is known, or an argument is out of range.
            TypeError: Epsilon or delta is of a type that has no exact decimal form, or a parameter
                of one that no literal has.
        """
        question = self._question(
            sql,
            epsilon=epsilon,
            delta=delta,
            accuracy=accuracy,
            non_negative=non_negative,
            consistent=consistent,
            mechanism=mechanism,
            max_groups_contributed=max_groups_contributed,
            max_rows_contributed=max_rows_contributed,
            parameters=parameters,
            dataset=dataset,
            purpose=purpose,
        )
        query_id = query_id or uuid.uuid4().hex
        request = pb.ExecuteRequest(question=question, query_id=query_id, fresh=fresh)
        return self._pay(self._queries.Execute, request, progress, sql=sql)

    def quote(
        self,
        sql: str,
        *,
        epsilon: Amount | None = None,
        delta: Amount | None = None,
        accuracy: Accuracy | None = None,
        non_negative: bool = False,
        consistent: bool = False,
        mechanism: Mechanism | None = None,
        max_groups_contributed: int | None = None,
        max_rows_contributed: int | None = None,
        parameters: Iterable[Parameter] = (),
        dataset: str | None = None,
        purpose: str | None = None,
    ) -> Quote:
        """Ask what a question would cost and how accurate the answer would be. Charges nothing.

        The arguments and errors are those of `query`, except that no budget is too small.
        """
        question = self._question(
            sql,
            epsilon=epsilon,
            delta=delta,
            accuracy=accuracy,
            non_negative=non_negative,
            consistent=consistent,
            mechanism=mechanism,
            max_groups_contributed=max_groups_contributed,
            max_rows_contributed=max_rows_contributed,
            parameters=parameters,
            dataset=dataset,
            purpose=purpose,
        )
        request = pb.QuoteRequest(question=question)
        return _wire.quote(self._unary(self._queries.Quote, request, sql=sql))

    def refine(
        self,
        answer: Answer | str,
        *,
        epsilon: Amount | None = None,
        accuracy: Accuracy | None = None,
        mechanism: Mechanism | None = None,
        query_id: str | None = None,
        progress: bool | Callable[[float], object] | None = None,
    ) -> Answer:
        """Pay for one more draw of the noise, to make an answer more accurate.

        The draw is of the same exact, bounded numbers as the answer's own. The new answer is the
        mean of all draws, weighted by inverse variance, and costs what the further draw costs:
        what was paid before is not paid again.

        The same refinement of the same answer again gets the same bytes and charges nothing. For a
        third draw, refine the refined answer.

        Args:
            answer: The answer, or its query id. May be one that was refined before.
            epsilon: What the further draw may cost. None: the dataset's default. A float is taken
                as it prints, so 0.1 is 0.1.
            accuracy: In the place of epsilon, what counts and sums may be off by with all draws:
                the smallest price that does it is charged. A relative error needs no magnitude.
            mechanism: "laplace", "gaussian", or "automatic" for whichever has the least error at
                the price. None: the dataset's. Need not be that of earlier draws.
            query_id: Name of the new answer, at most 64 of [A-Za-z0-9._-]. Made up unless given.
                Asking again under the same id gets the same bytes and pays once.
            progress: True shows the elapsed time on stderr if that is a terminal. A function is
                called with the elapsed seconds now and then.

        Raises:
            BudgetError: The budget does not hold the price.
            AuthError: The server does not accept the token.
            UndertoneError: Anything else. Its code is `UNKNOWN_QUERY_ID` where there is no such
                answer, and `INVALID_REQUEST` where the answer cannot be refined (it has quantiles,
                modes, histograms or SELECT DISTINCT, or the data have changed since) or is as
                accurate already. Its `query_id` fetches the new answer if it was paid for.
            ValueError: There is no such mechanism.
            TypeError: Epsilon is of a type that has no exact decimal form.
        """
        refinement = _wire.refinement(
            answer, epsilon=epsilon, accuracy=accuracy, mechanism=mechanism
        )
        request = pb.RefineRequest(refinement=refinement, query_id=query_id or uuid.uuid4().hex)
        return self._pay(self._queries.Refine, request, progress)

    def quote_refinement(
        self,
        answer: Answer | str,
        *,
        epsilon: Amount | None = None,
        accuracy: Accuracy | None = None,
        mechanism: Mechanism | None = None,
    ) -> Quote:
        """Ask what one more draw would cost and how accurate the answer would then be.

        Charges nothing. The price is of the further draw alone, the errors are those of all draws
        together. The arguments and errors are those of `refine`, except that no budget is too
        small.
        """
        refinement = _wire.refinement(
            answer, epsilon=epsilon, accuracy=accuracy, mechanism=mechanism
        )
        request = pb.QuoteRefinementRequest(refinement=refinement)
        return _wire.quote(self._unary(self._queries.QuoteRefinement, request))

    def answer(self, query_id: str) -> Answer:
        """Fetch an answer that was paid for earlier, byte for byte. Charges nothing.

        Raises:
            ExpiredError: It is not kept any more.
            UndertoneError: Anything else.
        """
        request = pb.GetAnswerRequest(query_id=query_id)
        response = self._unary(self._queries.GetAnswer, request)
        return _wire.answer(response.answer)

    def budget(self, dataset: str | None = None) -> Listing[Balance]:
        """See what is left in the caller's accounts.

        Args:
            dataset: Only the accounts for this dataset. None: all of them, whatever the client's
                dataset is.
        """
        request = pb.GetBalancesRequest(dataset=dataset or "")
        response = self._unary(self._budgets.GetBalances, request)
        return Listing(map(_wire.balance, response.balances))

    def request_budget(
        self,
        *,
        epsilon: Amount,
        delta: Amount | None = None,
        justification: str,
        dataset: str | None = None,
        purpose: str | None = None,
    ) -> Proposal:
        """Ask governance for a budget beside what there is. Charges nothing.

        The request waits until somebody of governance approves or rejects it; `requests` shows what
        became of it. It is sent once: each time that it arrives, it is a request of its own.

        Args:
            epsilon: How much more epsilon.
            delta: How much more delta. None: none.
            justification: What it is for. Governance and auditors read it.
            dataset: For which dataset. None: the client's.
            purpose: For which purpose. None: the client's.

        Raises:
            NotPermittedError: The caller is no analyst.
            UndertoneError: Anything else.
            ValueError: No dataset or purpose is known.
            TypeError: Epsilon or delta is of a type that has no exact decimal form.
        """
        dataset, purpose = self._account(dataset, purpose)
        request = pb.RequestBudgetRequest(
            dataset=dataset,
            purpose=purpose,
            epsilon=_amounts.to_wire(epsilon),
            delta=_amounts.to_wire(delta),
            justification=justification,
        )
        lost = "Client.requests() shows whether it arrived"
        response = self._once(self._budgets.RequestBudget, request, lost=lost)
        return _wire_governance.proposal(response.proposal)

    def requests(self) -> Listing[Proposal]:
        """See what became of the caller's requests for budgets, the newest first."""
        response = self._unary(self._budgets.ListRequests, pb.ListRequestsRequest())
        return Listing(map(_wire_governance.proposal, response.proposals))

    def datasets(self) -> Listing[Dataset]:
        """See what may be asked: the datasets with their tables and columns."""
        response = self._unary(self._catalog.ListDatasets, pb.ListDatasetsRequest())
        return Listing(map(_wire.dataset, response.datasets))

    def __repr__(self) -> str:
        return f"Client({self._address!r}, dataset={self._dataset!r}, purpose={self._purpose!r})"

    def _question(
        self, sql: str, *, dataset: str | None, purpose: str | None, **choices: Any
    ) -> pb.Question:
        dataset, purpose = self._account(dataset, purpose)
        return _wire.question(sql, dataset=dataset, purpose=purpose, **choices)

    def _account(self, dataset: str | None, purpose: str | None) -> tuple[str, str]:
        dataset = dataset if dataset is not None else self._dataset
        if dataset is None:
            raise ValueError("no dataset to ask: pass dataset here or to connect")
        purpose = purpose if purpose is not None else self._purpose
        if purpose is None:
            raise ValueError("no purpose to ask for: pass purpose here or to connect")
        return dataset, purpose

    def _pay(
        self,
        method: Callable[..., Any],
        request: pb.ExecuteRequest | pb.RefineRequest,
        progress: bool | Callable[[float], object] | None,
        *,
        sql: str | None = None,
    ) -> Answer:
        """Make a call that charges, which streams signs of life and then the answer."""
        report = ProgressLine() if progress is True else progress or None

        def attempt(timeout: float | None) -> pb.Answer:
            events = method(request, timeout=timeout, metadata=self._metadata)
            answer: pb.Answer | None = None
            try:
                for event in events:
                    if event.WhichOneof("event") == "answer":
                        answer = event.answer
                    elif report is not None:
                        report(event.progress.elapsed_millis / 1000)
            finally:
                events.cancel()  # Lets go of a stream that the caller interrupted.
            if answer is None:
                raise UndertoneError(
                    "INTERNAL",
                    "the server ended the stream without an answer",
                    query_id=request.query_id,
                )
            return answer

        try:
            return _wire.answer(self._call(attempt, sql=sql, query_id=request.query_id))
        finally:
            if isinstance(report, ProgressLine):
                report.clear()

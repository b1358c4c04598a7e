"""A server made of cardboard: it answers from a script and remembers what it was asked."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
import pyarrow as pa

from undertone._generated import undertone_pb2 as pb
from undertone._generated import undertone_pb2_grpc as stubs


@dataclass(frozen=True)
class Failure:
    """How a call is to fail."""

    status: grpc.StatusCode
    message: str = "no"
    code: str | None = None
    position: str | None = None


@dataclass(frozen=True)
class Call:
    """A call as it arrived."""

    method: str
    request: Any
    metadata: dict[str, str]


def ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def account(epsilon: str = "9.5", rho: str = "0.125") -> pb.AccountState:
    return pb.AccountState(
        granted_epsilon="10",
        granted_delta="0.000001",
        spent_epsilon="0.5",
        remaining_epsilon=epsilon,
        spent_rho=rho,
        rho_limit="1.5",
        spent_delta="0",
        charges=1,
    )


BALANCE = pb.Balance(
    dataset="shop", principal="ana", purpose="testing", account=account(), pool=account()
)
PRICE = pb.Price(epsilon="0.5", rho="0.125", delta="0")
COLUMN = pb.NoisyColumn(
    name="n",
    mechanism="discrete Laplace",
    noise_scale=4,
    half_width=12,
    has_interval=True,
    bounds="0 to 1",
)
RELEASE = pb.ReleaseNote(
    max_groups_contributed=1,
    max_rows_contributed=3,
    keys="declared",
    groups=2,
    price=PRICE,
)
REFINED_RELEASE = pb.ReleaseNote()
REFINED_RELEASE.CopyFrom(RELEASE)
REFINED_RELEASE.numbers.add(
    quantity="count of rows",
    mechanism="mean of several discrete draws",
    noise_scale=4,
    half_width=8,
    upper=3,
    share=1,
    draws=2,
)
TABLE = pa.table({"region": ["north", "south"], "n": pa.array([1234, 3], pa.int64())})
INTERVALS = pa.table(
    {"n_lower": pa.array([1222, 0], pa.int64()), "n_upper": pa.array([1246, 15], pa.int64())}
)


def receipt(query_id: str = "q", **changes: Any) -> pb.Receipt:
    fields = {
        "query_id": query_id,
        "dataset": "shop",
        "principal": "ana",
        "purpose": "testing",
        "price": PRICE,
        "columns": [COLUMN],
        "releases": [RELEASE],
        "confidence": 0.95,
        "policy_version": "5eed",
        "charged_at": 1_700_000_000,
        "promise": "It covers this.",
    }
    return pb.Receipt(**(fields | changes))


def quote(**changes: Any) -> pb.QuoteResponse:
    fields = {
        "price": PRICE,
        "columns": [COLUMN],
        "releases": [RELEASE],
        "confidence": 0.95,
        "balance": BALANCE,
        "affordable": True,
    }
    return pb.QuoteResponse(**(fields | changes))


def answer(query_id: str = "q", **changes: Any) -> pb.Answer:
    fields = {
        "query_id": query_id,
        "table": ipc(TABLE),
        "intervals": ipc(INTERVALS),
        "receipt": receipt(query_id),
        "balance": BALANCE,
    }
    return pb.Answer(**(fields | changes))


DATASET = pb.Dataset(
    name="shop",
    description="A shop",
    privacy_unit="one customer",
    tables=[
        pb.Table(
            name="orders",
            description="one order",
            protected=True,
            columns=[
                pb.Column(name="customer_id", type="BIGINT", privacy_unit=True, tier="general"),
                pb.Column(name="amount", type="DOUBLE", lower=0, upper=500, tier="general"),
                pb.Column(name="category", type="VARCHAR", domain="declared", tier="general"),
            ],
        )
    ],
    default_epsilon="0.1",
    max_epsilon="2",
    max_groups_contributed=4,
    max_rows_contributed=8,
    default_mechanism=pb.MECHANISM_LAPLACE,
    policy_version="5eed",
    purposes=["testing"],
)


VERSION = pb.PolicyVersion(
    version=2,
    hash="0123456789abcdef" * 4,
    at=1_700_000_000,
    author="gina",
    approved_by=["gus"],
    reason="a new year",
)
EFFECT = pb.Effect(
    accounts=[
        pb.AccountChange(
            account="the account of 'ben'",
            before='{"delta":"0.000001","epsilon":"0.5"}',
            after='{"delta":"0.000001","epsilon":"1.5"}',
            remaining_before="0.25",
            remaining_after="1.25",
        )
    ],
    approvals=1,
)


def proposal(**changes: Any) -> pb.Proposal:
    fields = {
        "id": 3,
        "at": 1_700_000_000,
        "author": "ben",
        "reason": "more regions",
        "edit": pb.Edit(
            budget=pb.Budget(principal="ben", dataset="shop", purpose="testing", epsilon="1")
        ),
        "state": "open",
        "approvals": 1,
    }
    return pb.Proposal(**(fields | changes))


def entry(seq: int) -> pb.AuditEntry:
    return pb.AuditEntry(
        seq=seq,
        at=1_700_000_000,
        kind="grant",
        body=f'{{"dataset":"shop","seq":{seq}}}',
        previous=f"{seq - 1:02}",
        hash=f"{seq:02}",
    )


class Fake(
    stubs.QueryServiceServicer,
    stubs.BudgetServiceServicer,
    stubs.CatalogServiceServicer,
    stubs.GovernanceServiceServicer,
    stubs.AuditServiceServicer,
):
    """Fails as often as `failures` says, and else answers always the same."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.failures: deque[Failure] = deque()
        self.charged: set[str] = set()
        self.hold: threading.Event | None = None
        """Set: queries show a sign of life, then wait for this."""

    def _enter(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        self.calls.append(Call(method, request, dict(context.invocation_metadata())))
        if not self.failures:
            return
        failure = self.failures.popleft()
        trailers = {"undertone-code": failure.code, "undertone-position": failure.position}
        context.set_trailing_metadata(
            tuple((key, value) for key, value in trailers.items() if value is not None)
        )
        context.abort(failure.status, failure.message)

    def Execute(self, request, context):
        self._enter("Execute", request, context)
        yield from self._answered(request.query_id)

    def Refine(self, request, context):
        self._enter("Refine", request, context)
        refined = receipt(
            request.query_id, refines=request.refinement.of, releases=[REFINED_RELEASE]
        )
        yield from self._answered(request.query_id, receipt=refined)

    def _answered(self, query_id: str, **changes: Any) -> Iterator[pb.ExecuteResponse]:
        yield pb.ExecuteResponse(progress=pb.Progress(elapsed_millis=0))
        yield pb.ExecuteResponse(progress=pb.Progress(elapsed_millis=1500))
        if self.hold is not None:
            self.hold.wait(10)
        replayed = query_id in self.charged
        self.charged.add(query_id)
        yield pb.ExecuteResponse(answer=answer(query_id, replayed=replayed, **changes))

    def Quote(self, request, context):
        self._enter("Quote", request, context)
        return quote()

    def QuoteRefinement(self, request, context):
        self._enter("QuoteRefinement", request, context)
        return quote(releases=[REFINED_RELEASE])

    def GetAnswer(self, request, context):
        self._enter("GetAnswer", request, context)
        return pb.GetAnswerResponse(answer=answer(request.query_id, replayed=True))

    def GetBalances(self, request, context):
        self._enter("GetBalances", request, context)
        return pb.GetBalancesResponse(balances=[BALANCE])

    def RequestBudget(self, request, context):
        self._enter("RequestBudget", request, context)
        return pb.ProposalResponse(proposal=proposal(reason=request.justification))

    def ListRequests(self, request, context):
        self._enter("ListRequests", request, context)
        return pb.ListProposalsResponse(proposals=[proposal()])

    def ListAccounts(self, request, context):
        self._enter("ListAccounts", request, context)
        shared = pb.SharedAccount(name="pool of shop", state=account())
        return pb.ListAccountsResponse(balances=[BALANCE], shared=[shared])

    def GetPolicy(self, request, context):
        self._enter("GetPolicy", request, context)
        return pb.GetPolicyResponse(version=VERSION, text="# Ours.\n")

    def ListPolicies(self, request, context):
        self._enter("ListPolicies", request, context)
        return pb.ListPoliciesResponse(versions=[VERSION])

    def Simulate(self, request, context):
        self._enter("Simulate", request, context)
        return pb.SimulateResponse(effect=EFFECT, text="# Ours.\n", based_on=VERSION.hash)

    def Propose(self, request, context):
        self._enter("Propose", request, context)
        made = proposal(author="gina", edit=request.edit, reason=request.reason, effect=EFFECT)
        return pb.ProposalResponse(proposal=made)

    def ListProposals(self, request, context):
        self._enter("ListProposals", request, context)
        return pb.ListProposalsResponse(proposals=[proposal(effect=EFFECT)])

    def Decide(self, request, context):
        self._enter("Decide", request, context)
        said = pb.Opinion(
            who="gina", approves=request.approve, reason=request.reason, at=1_700_000_000
        )
        state = "approved" if request.approve else "rejected"
        return pb.ProposalResponse(proposal=proposal(opinions=[said], state=state))

    def Freeze(self, request, context):
        self._enter("Freeze", request, context)
        return pb.FreezeResponse()

    def GetHead(self, request, context):
        self._enter("GetHead", request, context)
        return pb.GetHeadResponse(entries=3, hash="03")

    def ReadLog(self, request, context):
        self._enter("ReadLog", request, context)
        yield from map(entry, range(max(getattr(request, "from"), 1), 4))

    def ListDatasets(self, request, context):
        self._enter("ListDatasets", request, context)
        return pb.ListDatasetsResponse(datasets=[DATASET])


@contextlib.contextmanager
def serving(
    fake: Fake, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """Serve the fake until the block ends. Gives its URL."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    stubs.add_QueryServiceServicer_to_server(fake, server)
    stubs.add_BudgetServiceServicer_to_server(fake, server)
    stubs.add_CatalogServiceServicer_to_server(fake, server)
    stubs.add_GovernanceServiceServicer_to_server(fake, server)
    stubs.add_AuditServiceServicer_to_server(fake, server)
    host = address.rpartition(":")[0]
    if credentials is None:
        url = f"http://{host}:{server.add_insecure_port(address)}"
    else:
        url = f"https://{host}:{server.add_secure_port(address, credentials)}"
    server.start()
    try:
        yield url
    finally:
        server.stop(None).wait()

"""Calls that are tried again when the way to the server broke, or the server was not ready."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from typing import TypeVar

import grpc

from .errors import server_code

ATTEMPTS = 5
FIRST_PAUSE = 0.25
"""Seconds; each further pause is twice as long."""

T = TypeVar("T")


def with_retries(
    attempt: Callable[[float | None], T], timeout: float | None, *, final: Collection[str] = ()
) -> T:
    """Make a call, and make it again if it broke on the way or the server could not take it now.

    The call must be safe to repeat: a query is, under one query id.

    Args:
        attempt: Makes the call once. Is given the seconds that are left, or None for no limit.
        timeout: Seconds for all attempts and pauses together, or None for no limit.
        final: The server's codes that would be the same again.

    Raises:
        grpc.RpcError: What the last attempt ended in.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_PAUSE
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt(_left(deadline))
        except grpc.RpcError as failure:
            left = _left(deadline)
            again = server_code(failure) not in final and _may_pass(failure)
            if not again or (left is not None and left <= pause):
                raise
        # Clients that lost the same server do not all return to it at once.
        time.sleep(pause * random.uniform(0.5, 1))
        pause *= 2
    return attempt(_left(deadline))


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0)


def _may_pass(failure: grpc.RpcError) -> bool:
    # The way to the server broke; or it has no place, stops, has no ledger, or got another policy
    # (SERVER_BUSY, LEDGER_UNAVAILABLE; POLICY_CHANGED), and asks for the same once more.
    if failure.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED):
        return True
    # gRPC reports a stream that was cut by one of these. The server's own words carry a code.
    cut = (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    return failure.code() in cut and server_code(failure) is None

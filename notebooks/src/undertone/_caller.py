"""What all clients share: a channel, a token, and calls that fail with this library's errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import TypeVar

import grpc

from ._endpoint import Endpoint, parse_endpoint
from ._retry import with_retries
from .errors import UndertoneError, error_from_rpc

T = TypeVar("T")
C = TypeVar("C", bound="Caller")


def who_and_where(url: str | None, token: str | None, *, insecure: bool) -> tuple[Endpoint, str]:
    """The server's address and the caller's token, from the environment where they are not given.

    Raises:
        ValueError: One of them is missing or malformed, or the token would travel in plain text.
    """
    url = url if url is not None else os.environ.get("UNDERTONE_URL")
    if not url:
        raise ValueError("no server to connect to: pass url, or set UNDERTONE_URL")
    token = (token if token is not None else os.environ.get("UNDERTONE_TOKEN", "")).strip()
    if not token:
        raise ValueError("no token to show to the server: pass token, or set UNDERTONE_TOKEN")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("the token holds characters that a bearer token cannot have")
    return parse_endpoint(url, insecure=insecure), token


class Caller:
    """Calls one server on behalf of one caller.

    Args:
        channel: Channel to the server. Closed together with this.
        token: Bearer token of the caller.
        address: What to call the server in messages.
        timeout: Seconds that one call may take, retries included. None: no limit.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        token: str,
        *,
        address: str,
        timeout: float | None = None,
    ) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._address = address
        self._timeout = timeout

    def close(self) -> None:
        """Close the connection. Nothing can be called afterwards."""
        self._channel.close()

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"

    def _unary(
        self,
        method: Callable[..., T],
        request: object,
        *,
        sql: str | None = None,
        final: Collection[str] = (),
    ) -> T:
        """Make a call that may be repeated."""

        def attempt(timeout: float | None) -> T:
            return method(request, timeout=timeout, metadata=self._metadata)

        return self._call(attempt, sql=sql, final=final)

    def _once(self, method: Callable[..., T], request: object, *, lost: str) -> T:
        """Make a call that changes something with every time that it arrives.

        Args:
            method: The call.
            request: What it is given.
            lost: How to find out whether it arrived, where no answer does.
        """
        try:
            return method(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as failure:
            raise self._error(failure, lost=lost) from failure

    def _call(
        self,
        attempt: Callable[[float | None], T],
        *,
        sql: str | None = None,
        query_id: str | None = None,
        final: Collection[str] = (),
    ) -> T:
        try:
            return with_retries(attempt, self._timeout, final=final)
        except grpc.RpcError as failure:
            raise self._error(failure, sql=sql, query_id=query_id) from failure

    def _error(
        self,
        failure: grpc.RpcError,
        *,
        sql: str | None = None,
        query_id: str | None = None,
        lost: str | None = None,
    ) -> UndertoneError:
        if query_id is not None:
            lost = f"if it was paid for, Client.answer({query_id!r}) fetches it"
        return error_from_rpc(failure, address=self._address, sql=sql, query_id=query_id, lost=lost)

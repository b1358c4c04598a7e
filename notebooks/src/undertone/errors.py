"""What can go wrong, as the server says it."""

from __future__ import annotations

from typing import NamedTuple

import grpc


class Position(NamedTuple):
    """A place in the SQL text. Both numbers count from 1."""

    line: int
    column: int


class UndertoneError(Exception):
    """A call that failed.

    Attributes:
        code: Stable name of what went wrong, for example `BUDGET_EXHAUSTED`. Where the server gave
            none, because it was never reached for instance, the name of the gRPC status.
        message: What went wrong, in words.
        position: Where in the SQL text, if known.
        status: The gRPC status of the call, if there was one.
        sql: The SQL text, where the call had one.
        query_id: The id of the query, where the call was one. An answer that was paid for although
            the call failed is fetched by it: `Client.answer(error.query_id)`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        position: Position | None = None,
        status: grpc.StatusCode | None = None,
        *,
        sql: str | None = None,
        query_id: str | None = None,
    ) -> None:
        super().__init__(code, message, position, status)
        self.code = code
        self.message = message
        self.position = position
        self.status = status
        self.sql = sql
        self.query_id = query_id

    def __str__(self) -> str:
        excerpt = self._excerpt()
        if not excerpt or self.position is None:
            return self.message
        # The excerpt shows the place, so the message need not name it as well.
        place = f" (line {self.position.line}, column {self.position.column})"
        return f"{self.message.removesuffix(place)}\n\n{excerpt}"

    def _excerpt(self) -> str:
        """The line of SQL with a caret under the place; empty where the place is unknown."""
        if self.position is None or self.sql is None:
            return ""
        number, column = self.position
        lines = self.sql.split("\n")
        # One past the end of a line is a place too: something is missing there.
        if not 1 <= number <= len(lines) or not 1 <= column <= len(lines[number - 1]) + 1:
            return ""
        line = lines[number - 1].rstrip("\r")
        # Tabs stay, so that the caret stands where the terminal puts the character.
        indent = "".join("\t" if char == "\t" else " " for char in line[: column - 1])
        return f"  {number} | {line}\n  {' ' * len(str(number))} | {indent}^"


class BudgetError(UndertoneError):
    """The budget does not hold what the question costs. Nothing was charged."""


class FrozenError(UndertoneError):
    """The account, or one behind it, was stopped. Nothing was charged.

    Either a charged question of this principal failed, and an operator must look into it first; or
    governance has frozen the principal, its team, a tier of columns or the whole dataset.
    """


class RefusedError(UndertoneError):
    """The question cannot be answered privately as it stands. Nothing was charged."""


class NotPermittedError(UndertoneError):
    """The caller's roles, or the policy's rules for columns and purposes, do not allow it.

    Nothing was charged.
    """


class PolicyChangedError(UndertoneError):
    """The policy changed while this was on its way. Nothing was charged or changed.

    Queries are asked again by themselves. A change of the policy must be made anew from the policy
    that is in force now.
    """


class ExpiredError(UndertoneError):
    """The answer was paid for, and is not kept any more.

    The question is answered anew under a new query id, and paid.
    """


class AuthError(UndertoneError):
    """The token is missing, unknown or expired."""


_CLASSES: dict[str, type[UndertoneError]] = {
    "ACCOUNT_FROZEN": FrozenError,
    "ANSWER_EXPIRED": ExpiredError,
    "BUDGET_EXHAUSTED": BudgetError,
    "MISSING_BOUNDS": RefusedError,
    "NOT_PERMITTED": NotPermittedError,
    "POLICY_CHANGED": PolicyChangedError,
    "PRIVATE_KEYS": RefusedError,
    "PRIVATE_ROWS": RefusedError,
    "UNSUPPORTED_SQL": RefusedError,
    "UNAUTHENTICATED": AuthError,
}


def error_from_rpc(
    failure: grpc.RpcError,
    *,
    address: str,
    sql: str | None = None,
    query_id: str | None = None,
    lost: str | None = None,
) -> UndertoneError:
    """Build the error that a failed call to the server at `address` stands for.

    `lost` is what to do where the call may have arrived and no answer did.
    """
    status = failure.code()
    code = server_code(failure)
    message = failure.details() or status.name
    if code is None:
        message = f"no answer from {address}: {message}"
        if lost is not None:
            message += f" ({lost})"
    code = code or status.name
    return _CLASSES.get(code, UndertoneError)(
        code, message, _position(failure), status, sql=sql, query_id=query_id
    )


def server_code(failure: grpc.RpcError) -> str | None:
    """The server's own code for a failure; None where the failure arose on the way."""
    return _trailer(failure, "undertone-code")


def _position(failure: grpc.RpcError) -> Position | None:
    text = _trailer(failure, "undertone-position")
    if text is None:
        return None
    line, _, column = text.partition(":")
    return Position(int(line), int(column)) if line.isdecimal() and column.isdecimal() else None


def _trailer(failure: grpc.RpcError, name: str) -> str | None:
    return next((value for key, value in failure.trailing_metadata() or () if key == name), None)

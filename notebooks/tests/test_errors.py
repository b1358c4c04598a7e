import pickle

import grpc
import pytest

from fake import Failure
from undertone import (
    AuthError,
    BudgetError,
    ExpiredError,
    FrozenError,
    NotPermittedError,
    PolicyChangedError,
    Position,
    RefusedError,
    UndertoneError,
    _retry,
)

SQL = "SELECT\n\tSUM(amont) AS total\nFROM orders"


def test_a_caret_stands_under_the_place():
    error = UndertoneError("UNKNOWN_COLUMN", "no column amont", Position(2, 6), sql=SQL)
    assert str(error).splitlines() == [
        "no column amont",
        "",
        "  2 | \tSUM(amont) AS total",
        "    | \t    ^",
    ]


def test_the_caret_lines_up_below_long_line_numbers():
    sql = "\n" * 11 + "SELEKT 1"
    error = UndertoneError("SYNTAX", "what is SELEKT?", Position(12, 1), sql=sql)
    assert str(error).splitlines()[-2:] == ["  12 | SELEKT 1", "     | ^"]


def test_the_caret_may_stand_behind_the_end():
    error = UndertoneError("SYNTAX", "something is missing", Position(1, 9), sql="SELECT 1\r\n")
    assert str(error).endswith("  1 | SELECT 1\n    |         ^")


def test_the_excerpt_replaces_the_place_in_the_message():
    error = UndertoneError(
        "SYNTAX", "what is SELEKT? (line 1, column 1)", Position(1, 1), sql="SELEKT 1"
    )
    assert str(error) == "what is SELEKT?\n\n  1 | SELEKT 1\n    | ^"
    assert error.message == "what is SELEKT? (line 1, column 1)"
    error.sql = None
    assert str(error) == error.message


@pytest.mark.parametrize("position", [None, (0, 1), (1, 0), (4, 1), (1, 99)])
def test_without_a_place_only_the_message_is_shown(position):
    where = position and Position(*position)
    assert str(UndertoneError("SYNTAX", "no", where, sql=SQL)) == "no"
    assert str(UndertoneError("SYNTAX", "no", Position(1, 1))) == "no"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, code="BUDGET_EXHAUSTED"), BudgetError),
        (Failure(grpc.StatusCode.PERMISSION_DENIED, code="ACCOUNT_FROZEN"), FrozenError),
        (Failure(grpc.StatusCode.PERMISSION_DENIED, code="NOT_PERMITTED"), NotPermittedError),
        (Failure(grpc.StatusCode.NOT_FOUND, code="ANSWER_EXPIRED"), ExpiredError),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, code="UNSUPPORTED_SQL"), RefusedError),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, code="PRIVATE_ROWS"), RefusedError),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, code="PRIVATE_KEYS"), RefusedError),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, code="MISSING_BOUNDS"), RefusedError),
        (Failure(grpc.StatusCode.UNAUTHENTICATED, code="UNAUTHENTICATED"), AuthError),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, code="SOMETHING_ELSE"), UndertoneError),
    ],
)
def test_codes_choose_the_class(fake, client, failure, kind):
    fake.failures.append(failure)
    with pytest.raises(UndertoneError, match=r"^no$") as caught:
        client.query(SQL, query_id="q7")
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.status, error.position) == (failure.code, failure.status, None)
    assert (error.sql, error.query_id) == (SQL, "q7")


def test_a_policy_that_keeps_changing(fake, client, monkeypatch):
    monkeypatch.setattr(_retry, "FIRST_PAUSE", 0.01)
    changed = Failure(grpc.StatusCode.UNAVAILABLE, "ask again", "POLICY_CHANGED")
    fake.failures += [changed] * _retry.ATTEMPTS
    with pytest.raises(PolicyChangedError, match=r"^ask again$") as caught:
        client.query(SQL)
    assert caught.value.code == "POLICY_CHANGED"


def test_a_failure_without_a_code_is_named_by_its_status(fake, client):
    fake.failures.append(Failure(grpc.StatusCode.UNAUTHENTICATED, "who are you?"))
    with pytest.raises(AuthError, match="who are you") as caught:
        client.budget()
    assert caught.value.code == "UNAUTHENTICATED"


@pytest.mark.parametrize("ask", ["query", "quote"])
def test_the_position_comes_from_the_trailer(fake, client, ask):
    fake.failures.append(
        Failure(grpc.StatusCode.INVALID_ARGUMENT, "ε of what?", "UNKNOWN_COLUMN", "2:6")
    )
    with pytest.raises(UndertoneError) as caught:
        getattr(client, ask)(SQL)
    assert caught.value.position == Position(line=2, column=6)
    assert str(caught.value) == "ε of what?\n\n  2 | \tSUM(amont) AS total\n    | \t    ^"


@pytest.mark.parametrize("text", ["", "2", "2:", ":6", "two:six", "-1:2"])
def test_an_unreadable_position_is_no_position(fake, client, text):
    fake.failures.append(Failure(grpc.StatusCode.INVALID_ARGUMENT, code="X", position=text))
    with pytest.raises(UndertoneError) as caught:
        client.quote(SQL)
    assert caught.value.position is None


def test_errors_survive_pickling():
    error = BudgetError(
        "BUDGET_EXHAUSTED",
        "no",
        Position(2, 6),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        sql=SQL,
        query_id="q",
    )
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is BudgetError
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)

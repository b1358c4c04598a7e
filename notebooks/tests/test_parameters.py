"""Values of parameters, and the drawing of a plan."""

from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from undertone import Step
from undertone._parameters import to_wire


@pytest.mark.parametrize(
    ("value", "field", "wire"),
    [
        (None, "null", True),
        (True, "boolean", True),
        (7, "whole", 7),
        (0.5, "number", 0.5),
        (Decimal("0.25"), "number", 0.25),
        ("x' --", "text", "x' --"),
        (date(2026, 1, 31), "date", "2026-01-31"),
        (datetime(2026, 1, 31, 12, 30), "timestamp", "2026-01-31 12:30:00"),
    ],
)
def test_values_keep_their_type(value, field, wire):
    (parameter,) = to_wire([value])
    assert parameter.WhichOneof("value") == field
    assert getattr(parameter, field) == wire


def test_scalars_of_numpy_are_plain_values():
    class Scalar:
        def item(self):
            return 3

    assert to_wire([Scalar()])[0].whole == 3


def test_what_is_no_value():
    with pytest.raises(TypeError, match="not one string"):
        to_wire("abc")
    with pytest.raises(TypeError, match="not list"):
        to_wire([[1]])
    with pytest.raises(ValueError, match="time zone"):
        to_wire([datetime(2026, 1, 31, tzinfo=timezone.utc)])
    with pytest.raises(ValueError, match=r"range|bounds|long"):
        to_wire([1 << 64])


def test_a_plan_is_drawn():
    table = Step("private", "table", ())
    release = Step("release", "release 1", (table,), 1)
    plan = Step("post-processing", "answer", (release, Step("public", "cities", ())))
    assert repr(plan).splitlines() == [
        "post-processing answer",
        "release         ├─ release 1",
        "private         │  └─ table",
        "public          └─ cities",
    ]

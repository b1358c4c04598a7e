from decimal import Decimal

import pytest

from undertone._amounts import from_wire, optional_from_wire, show, to_wire


class ShoutingFloat(float):
    def __repr__(self) -> str:
        return "ShoutingFloat!"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, ""),
        ("0.1", "0.1"),
        ("1e-6", "1e-6"),
        ("nonsense", "nonsense"),
        (1, "1"),
        (0.1, "0.1"),
        (1e-6, "1e-06"),
        (0.1 + 0.2, "0.30000000000000004"),
        (ShoutingFloat(0.1), "0.1"),
        (Decimal("0.100000000000000001"), "0.100000000000000001"),
        (Decimal("0.0000000001"), "1e-10"),
        (-1, "-1"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_amounts_are_written_exactly_and_not_judged(amount, text):
    assert to_wire(amount) == text


@pytest.mark.parametrize("amount", [True, 1j, b"1", [1]])
def test_other_types_are_refused(amount):
    with pytest.raises(TypeError, match="str, Decimal, int or float"):
        to_wire(amount)


def test_amounts_are_read_exactly():
    assert from_wire("0.100000000000000001") == Decimal("0.100000000000000001")
    assert from_wire("") == 0
    assert optional_from_wire("0") == 0
    assert optional_from_wire("") is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.1", "0.1"),
        ("9.900", "9.9"),
        ("0.000001", "1e-6"),
        ("10", "10"),
        ("0.12345678", "0.123457"),
    ],
)
def test_amounts_are_shown_short(amount, text):
    assert show(Decimal(amount)) == text

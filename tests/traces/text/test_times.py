"""Microseconds of any spelling become the nearest integer nanosecond, half to even."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.traces.read.decode import decode_block


def start_ns(text: str) -> int:
    """The start, in ns, of an event whose ``ts`` is written as ``text``."""
    (ns,) = decode_block(f'[{{"ph": "X", "name": "a", "ts": {text}, "dur": 0}}]'.encode()).ts_ns.tolist()
    return ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("12", 12_000),
        ("12.345", 12_345),
        ("0.001", 1),
        ("1419116104994.671", 1_419_116_104_994_671),
        ("7889238000000.999", 7_889_238_000_000_999),  # the farthest that a modern file's base lies back
        ("1712195495519689.047", 1_712_195_495_519_689_047),  # a double holds quarters here
        ("1712195495519689.000", 1_712_195_495_519_689_000),
        ("1623142623460172", 1_623_142_623_460_172_000),  # 2021: integers
        ("-3.5", -3_500),
        ("1.5e3", 1_500_000),
        ('"12.345"', 12_345),
        # more than three decimals: the nearest ns, half to even
        ("1.0004", 1_000),
        ("1.0005", 1_000),
        ("1.0015", 1_002),
        ("1.00050000000000000001", 1_001),
        ("5123456789012.0005", 5_123_456_789_012_000),
        ("5123456789012.0015", 5_123_456_789_012_002),
    ],
)
def test_every_spelling_of_a_time_is_exact(text: str, ns: int):
    """A time becomes the nanosecond that its text says, whatever its size and number of decimals."""
    assert ns == start_ns(text)


@given(st.decimals(min_value=-(10**9), max_value=9 * 10**15, places=3) | st.decimals(-1000, 10**13, places=5))
def test_times_equal_decimal_arithmetic(us: Decimal):
    """Reading a time gives what exact decimal arithmetic gives."""
    assert int((us * 1000).to_integral_value(ROUND_HALF_EVEN)) == start_ns(f"{us:f}")


@given(st.floats(-1e9, 8e15))
def test_shortest_float_texts_equal_decimal_arithmetic(us: float):
    """Times that another tool wrote as doubles, with many decimals or exponents, round the same way."""
    text = json.dumps(us)
    assert int((Decimal(text) * 1000).to_integral_value(ROUND_HALF_EVEN)) == start_ns(text)


@pytest.mark.parametrize("text", ["1e300", "9300000000000000000", "-1e17"])
def test_a_time_beyond_64_bits_is_malformed(text: str):
    """A time that does not fit 64 bits of ns is counted as malformed, not wrapped around."""
    block = decode_block(f'[{{"ph": "X", "name": "a", "ts": {text}, "dur": 0}}]'.encode())
    assert (block.malformed, len(block.complete)) == (1, 0)


@pytest.mark.parametrize("exponent", ["400", "999999999", "4006744073709551616"])
@pytest.mark.parametrize("field", ["ts", "bytes", "blocks per SM", "Total Allocated"])
def test_monstrous_exponents_are_missing_values(field: str, exponent: str):
    """Numbers that no double, no integer and no Decimal can hold are missing, at once, and counted."""
    event = {"ph": "X", "name": "a", "ts": 1, "dur": 1, "args": {}}
    (event if field == "ts" else event["args"])[field] = "HERE"
    block = decode_block(f"[{json.dumps(event)}]".replace('"HERE"', f"1e{exponent}").encode())
    assert block.odd == {"non_finite": 1}
    assert len(block.complete) == (0 if field == "ts" else 1)

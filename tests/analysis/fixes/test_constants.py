"""Constants that no trace holds: bounds in order, and the bus that a device came with."""

from __future__ import annotations

import pytest

from stallscope.analysis.fixes.constants import TABLE, pinned_rate


def test_every_constant_lies_within_its_bounds() -> None:
    """Bounds that exclude the value used would make an interval that its own forecast leaves."""
    assert [each.name for each in TABLE if not each.low <= each.value <= each.high] == []
    assert len({each.name for each in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    ("capability", "gb_per_s"),
    [("7.0", 12.0), ("7.5", 12.0), ("8.0", 24.0), ("8.9", 24.0), ("9.0", 48.0), ("12.0", 48.0), (None, 12.0)],
)
def test_a_device_comes_with_its_generation_of_bus(capability: str | None, gb_per_s: float) -> None:
    """V100 and Turing on PCIe 3, Ampere and Ada on 4, Hopper and Blackwell on 5; of others the cautious figure."""
    assert pinned_rate(capability).value == gb_per_s

"""The house: no ring of modules of any kind, and no folder that is too wide to take in at a look."""

from __future__ import annotations

import pytest

from tests import ROOT
from tests.house.house import cycles, folder_sizes, graph, imported

WIDEST = 25


def test_no_module_reaches_itself() -> None:
    """There is no cycle of imports among our modules, lazy ones and those for types counted."""
    assert cycles(graph(ROOT)) == []


def test_no_folder_is_too_wide() -> None:
    """No folder holds more than 25 modules."""
    assert {folder: size for folder, size in folder_sizes(ROOT).items() if size > WIDEST} == {}


@pytest.mark.parametrize(
    "source",
    ["import b", "from b import x", "def f():\n    from b import x", "if TYPE_CHECKING:\n    from b import x"],
)
def test_every_kind_of_import_counts(source: str) -> None:
    """A module that is imported on top, in a function, or for types only, is seen."""
    assert imported(source, {"a": ROOT, "b": ROOT}) == {"b"}


def test_a_ring_is_found() -> None:
    """Of four modules the three that reach each other are one ring."""
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]

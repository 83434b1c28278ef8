"""docs/architecture.md: its map has every folder of the tree, and its examples are true. Its names: test_readme.py."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from stallscope.analysis.stages.stages import analyse
from stallscope.traces.read.read import read
from tests import ROOT
from tests.house.documents import page

ARCHITECTURE = page("docs/architecture.md")


@pytest.mark.parametrize("half", ["traces", "profiling", "analysis"])
def test_every_folder_is_on_the_map(half: str) -> None:
    """Each folder that holds modules has a row that says what it is for."""
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / half).glob("*/*.py")}
    rows = set(re.findall(r"^\| `([\w/]+)` \|", ARCHITECTURE.text, re.MULTILINE))
    assert len(folders) > 5
    assert folders - {"traces/samples"} - rows == set()


@pytest.mark.parametrize("half", ["traces", "profiling", "analysis"])
def test_the_order_is_that_of_the_contracts(half: str) -> None:
    """The folders stand in the order that import-linter holds, lowest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == [f"stallscope.{half}"]]
    (told,) = re.findall(rf"^\*\*`{half}/`\*\*: (.+(?:\n.+)*)", ARCHITECTURE.text, re.MULTILINE)
    assert [set(re.findall(r"\w+", layer)) for layer in told.split("←")] == [
        set(re.findall(r"\w+", layer)) for layer in reversed(layers)
    ]


def test_the_idle_gap_of_the_example() -> None:
    """The first gap of the sample trace lies in the window as the page says, and has the causes that it lists."""
    told = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|$", ARCHITECTURE.text, re.MULTILINE)
    (sample,) = (ROOT / "traces" / "samples").glob("iris_mlp_simulated*.gz")
    stages = analyse(read(sample))
    (idle,) = stages.idle
    assert f"{stages.window.start:,}".replace(",", " ") in ARCHITECTURE.text
    assert len(told) == 3
    for cause, start, end in told:
        spans = idle.spans[cause]
        assert (int(start), int(end)) == (spans.starts[0] - stages.window.start, spans.ends[0] - stages.window.start)


def test_the_call_site_of_the_example() -> None:
    """The manifest of the run that the page takes has the call site with the number and the line that it names."""
    manifest = json.loads((ROOT / "tests/compat/data/before/stallscope.json").read_bytes())
    number = int(re.findall(r"`stallscope\.site#(\d+)`", ARCHITECTURE.text)[0])
    site = manifest["call_sites"][number]
    assert (site["kind"], site["frames"][0]["line"]) == ("item", 20)
    assert "`train.py:20`" in ARCHITECTURE.text

"""The question that began it all: ``.item()`` in each step, against every 100th.

A script as its user wrote it, recorded both ways: TensorBoard opens both, the summary names the line, the comparison
says how often is read and what became of the step.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stallscope import cli
from tests.plugin import clients, spans, until_done
from tests.scripts.forked import profiled
from tests.scripts.processes import write

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]

SCRIPT = """
    import argparse
    import torch
    from torch import nn
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1)
    every = parser.parse_args().every
    torch.set_num_threads(1)
    x, y = torch.randn(120, 4), torch.randint(0, 3, (120,))
    model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for step in range(2000):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if step % every == 0:
            losses.append(loss.item())
    print(len(losses))
"""
READ = next(number for number, line in enumerate(SCRIPT.splitlines(), 0) if "loss.item()" in line)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both runs, ``train`` and ``train-2``: read in each step, and in every 100th."""
    folder = tmp_path_factory.mktemp("read")
    write(folder, SCRIPT)
    for every, printed in ((1, "2000\n"), (100, "20\n")):
        ended = profiled("train.py", "--every", str(every), cwd=folder)
        assert (ended.code, ended.out) == (0, printed)
    return folder / "runs"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    assert cli._execute([*arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_summary_names_the_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the first run the line would wait on a GPU in each step; of the second in one recorded step, if any."""
    line = f"train.py:{READ} .item()"
    text = shown(capsys, "summary", str(runs / "train"))
    assert f"On a GPU these lines would wait for it: {line}." in text
    assert f"{line}: would synchronize on a GPU" in shown(capsys, "summary", "-v", str(runs / "train"))
    text = shown(capsys, "summary", "-v", str(runs / "train-2"))
    assert line not in text.replace(f"{line}, in 1 of 5 steps: would synchronize on a GPU", "")


def test_the_comparison_says_how_often_is_read_and_what_became_of_the_step(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reads 1 → 0.01 a step; the step before and after, with the difference, or that there is none."""
    sides = (str(runs / "train"), str(runs / "train-2"))
    text = shown(capsys, "compare", *sides)
    assert "changed --every 1 → 100" in text
    by_argument = "Reads of a value (aten::item) 1 → 0.01 a step, by --every 100" in text
    assert by_argument or re.search(r"aten::item 1 → 0\.\d+", text), "told by the argument, or counted if one fell in"
    assert " a step takes " in text.partition("Time per step")[0]
    document = json.loads(shown(capsys, "compare", *sides, "--format", "json"))
    assert document["verdict"]["kind"] in ("no change", "cannot tell", "differs")
    assert document["statistics"]["measure"] == "unprofiled_mean"
    assert min(document["steps"]["unprofiled_us"][side] for side in ("baseline", "candidate")) > 0


def test_tensorboard_opens_both(runs: Path) -> None:
    """Each has a page in the tab, and they can be compared there."""
    routes = clients(runs)
    numbers = spans(routes)
    assert sorted(numbers) == ["train", "train-2"]
    for number in numbers.values():
        assert until_done(routes, span=number)["state"] == "ready"
        assert "One step of" in routes["/page"].get("/", query_string={"span": number}).text
    both = {"span": numbers["train-2"], "with": numbers["train"]}  # what is looked at, with what was before
    assert until_done(routes, **both)["state"] == "ready"
    assert "1 → 0.01 a step" in routes["/page"].get("/", query_string=both).text

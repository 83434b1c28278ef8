"""The Iris workload is an ordinary script: the same seed prints the same, and it learns."""

import re

import pytest

from tests import ROOT
from tests.scripts.forked import python

SCRIPT = ROOT / "profiling" / "workloads" / "iris_mlp.py"

pytestmark = pytest.mark.slow


def train(*options: str) -> str:
    """What the script prints."""
    ended = python(SCRIPT, "--device", "cpu", *options, cwd=ROOT)
    assert ended.code == 0, ended.err
    return ended.out


def test_the_same_seed_prints_the_same() -> None:
    """Two runs agree in every byte, so a profiled run can be compared with a plain one; any terminal takes them."""
    first = train("--epochs", "60", "--print-every", "20")
    assert train("--epochs", "60", "--print-every", "20") == first
    assert first.isascii()


def test_it_learns_to_tell_flowers() -> None:
    """3000 epochs at a learning rate of 0.01 bring the loss from about 1.1 below 0.3 and 27 of 30 flowers right."""
    printed = train("--epochs", "3000", "--print-every", "1000", "--record-every", "0")
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", printed)]
    accuracy = re.search(r"accuracy on 30 unseen flowers: (\d+\.\d)%", printed)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.3
    assert accuracy is not None
    assert float(accuracy[1]) >= 90.0


def test_how_often_the_loss_is_read() -> None:
    """--record-every N keeps every Nth loss for the curve, --print-every N prints every Nth; 0 does neither."""
    printed = train("--epochs", "40", "--print-every", "20", "--record-every", "10")
    assert re.findall(r"^epoch +(\d+)", printed, re.MULTILINE) == ["20", "40"]
    assert set(re.findall(r"^  epoch +(\d+) \|", printed, re.MULTILINE)) == {"10", "20", "30", "40"}
    silent = train("--epochs", "40", "--print-every", "0", "--record-every", "0")
    assert [line.split()[0] for line in silent.splitlines()] == ["120", "accuracy"]

"""Marks of the attribution window: the line of each synchronizing call, the name of each module."""

import json
import textwrap

import pytest

from tests.profiling.marking import run_marked
from tests.scripts.forked import profiled, python
from tests.scripts.processes import write

pytestmark = pytest.mark.slow

SIX_LINES = """
    # 1
    x = torch.arange(-2.0, 3.0)
    loss = torch.tensor(2.0)

    def helper(value):
        scaled = value * 2
        return scaled.item()

    #
    loss.item()
    total = x.sum().item()
    #
    #
    #
    #
    #
    #
    #
    results = [
        helper(loss),
    ]
    #
    #
    #
    print(f"loss {loss:.2f}")
    #
    #
    #
    #
    if loss > x.max():
        print("never")
    #
    #
    #
    kept = x[x > 0]
"""


def test_six_lines_are_named(tmp_path, capsys):
    """``item`` on 10 and 11, one on 7 called from 20, an f-string on 25, an ``if`` on 30, a mask on 35; each once."""
    marked = run_marked(tmp_path, SIX_LINES)
    assert [(each.kind, marked.chain(each)) for each in marked.marks.call_sites] == [
        ("item", [10]),
        ("item", [11]),
        ("item", [7, 20]),
        ("__format__", [25]),
        ("__bool__", [30]),
        ("index", [35]),
    ]
    assert all(each.would_synchronize and each.exact for each in marked.marks.call_sites)
    assert marked.ranges == {f"stallscope.site#{number}": 1 for number in range(6)}
    assert (capsys.readouterr().out, marked.marks.notes) == ("loss 2.00\n", [])


TRAINING = """
    for _ in range(3):
        opt.zero_grad()
        loss = model(x).sum()
        loss.backward()
        opt.step()
"""
MODEL = """
    from torch import nn
    torch.manual_seed(0)
    attention = nn.ModuleDict({"attn": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([attention])
        def forward(self, x):
            return self.layers[0]["norm"](self.layers[0]["attn"](x))
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder()
            self.head = nn.Linear(4, 2)
        def forward(self, x):
            return self.head(self.encoder(x))
    model = Net()
    opt = torch.optim.Adam(model.parameters())
    x = torch.randn(8, 4)
"""


def test_modules_bear_their_qualified_names(tmp_path):
    """Three steps of a nested model: each module once in the table, under its path from the root, three ranges each."""
    marked = run_marked(tmp_path, TRAINING, before=MODEL)
    assert [(each.name, each.type, each.root) for each in marked.marks.modules] == [
        ("", "Net", "Net"),
        ("encoder", "Encoder", "Net"),
        ("encoder.layers.0.attn", "Linear", "Net"),
        ("encoder.layers.0.norm", "LayerNorm", "Net"),
        ("head", "Linear", "Net"),
    ]
    assert all(marked.ranges[f"stallscope.module#{number}"] == 3 for number in range(5))


def test_root_calls_backward_and_optimizer_are_sites(tmp_path):
    """The model's call on line 3, ``backward`` on 4 and ``step`` on 5, three times each; Adam's own reads are not."""
    marked = run_marked(tmp_path, TRAINING, before=MODEL)
    assert [(each.kind, marked.chain(each), each.would_synchronize) for each in marked.marks.call_sites] == [
        ("forward", [3], False),
        ("backward", [4], False),
        ("optimizer", [5], False),
    ]
    assert [marked.ranges[f"stallscope.site#{number}"] for number in range(3)] == [3, 3, 3]


LOOPED = """
    import torch
    model = torch.nn.Linear(4, 1)
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    def helper(value):
        return value.item()
    x = torch.randn(8, 4)
    for step in range(150):
        loss = model(x).square().mean()
        opt.zero_grad(); loss.backward(); opt.step()
        loss.item()
        total = x.sum().item()
"""


def test_six_lines_from_the_script_to_the_summary(tmp_path):
    """The same six lines in a loop, through ``profile`` and ``summary``: each once a step, and the helper's caller."""
    rest = textwrap.indent(textwrap.dedent(SIX_LINES).strip("\n").partition("total = x.sum().item()\n")[2], " " * 4)
    write(tmp_path, textwrap.dedent(LOOPED) + rest)
    assert profiled("train.py", cwd=tmp_path).code == 0
    summary = json.loads(python("-m", "stallscope", "summary", "runs/train", "--format", "json", cwd=tmp_path).out)
    found = [
        (site["call_site"], site["callers"], site["calls_per_step"], site["api"]) for site in summary["sync_sites"]
    ]
    assert sorted(found) == [
        ("train.py:10", [], 1.0, None),
        ("train.py:11", [], 1.0, None),
        ("train.py:25", [], 1.0, None),
        ("train.py:30", [], 1.0, None),
        ("train.py:35", [], 1.0, None),
        ("train.py:5", ["train.py:20"], 1.0, None),
    ]
    assert {site["note"] for site in summary["sync_sites"]} == {"would synchronize on a GPU"}


MOVED = """
    import torch
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch.nn.Linear(4, 2).to(device)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(40):
        x = torch.randn(8, 4).to(device)
        y = torch.randn(8, 2).to(device, non_blocking=True)
        loss = (model(x) - y).square().mean()
        opt.zero_grad(); loss.backward(); opt.step()
        torch.ones(2).to(loss)
        print(loss.to("cpu").item())
"""


def test_moves_to_the_gpu_are_listed_on_a_cpu_run(tmp_path):
    """Line 6 would wait if it copies, which is said; 7 does not wait, nor 10, to where a tensor is; 11 reads."""
    write(tmp_path, MOVED)
    assert profiled("train.py", cwd=tmp_path).code == 0
    summary = json.loads(python("-m", "stallscope", "summary", "runs/train", "--format", "json", cwd=tmp_path).out)
    found = {
        site["call_site"]: (site["called"], site["note"], site["blocked_us_per_step"]) for site in summary["sync_sites"]
    }
    assert found == {
        "train.py:6": ("to", "would synchronize on a GPU if it copies to or from it", 0.0),
        "train.py:11": ("item", "would synchronize on a GPU", 0.0),
    }
    text = " ".join(python("-m", "stallscope", "summary", "-v", "runs/train", cwd=tmp_path).out.split())
    assert "train.py:6 .to(): would synchronize on a GPU if it copies to or from it. Pin it and do not wait" in text

"""The timing window: forward hooks are out but for the one call that begins a step, and nothing else notices."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from tests.scripts.forked import run_many, run_many_plain
from tests.scripts.processes import write
from tests.scripts.recorded import manifest, steps_in, timing_trace, window

pytestmark = pytest.mark.slow

START = """
    import os, sys, torch
    from torch import nn
    from torch.nn.modules import module as tables
    torch.manual_seed(0)
    seen = []
    class Probe(nn.Module):
        def forward(self, x):
            if not torch.compiler.is_compiling(): seen[-1].append(len(tables._global_forward_pre_hooks))
            return x
    model = nn.Sequential(nn.Linear(4, 8), Probe(), nn.Sequential(nn.ReLU(), Probe()), nn.Linear(8, 3))
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(16, 4)
    def step(net=model):
        seen.append([])
        opt.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        opt.step()
        return loss.item()
"""

SCRIPTS = {
    # what the modules of each step met; by the plan, timing 12 to 16, attribution 19 to 21
    "hooks": """
        for _ in range(25): step()
        open(os.path.splitext(__file__)[0] + ".seen", "w").write(str(seen))
        print("done")
    """,
    "evaluation": """
        for i in range(25):
            step()
            if i % 5 == 0:
                with torch.no_grad(): seen.append([]); model(x); model(x)
        print("done")
    """,
    "accumulation": """
        for _ in range(25):
            opt.zero_grad(); seen.append([])
            for _ in range(4): model(x).square().mean().backward()
            opt.step()
        print("done")
    """,
    "raises": """
        class Breaks(nn.Module):
            def forward(self, x): raise KeyError(x.shape)
        for i in range(25):
            step()
            try: nn.Sequential(nn.ReLU(), Breaks())(x)
            except KeyError as error: seen.append([])
        print("done")
    """,
    # compiled for the first time inside the timing window: a module while no hooks are in, a whole step while they are
    "compiles": """
        from torch._dynamo.utils import counters
        def loss_of(x): return model[0](x).square().mean()
        for _ in range(14): step()
        net = torch.compile(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), backend="eager", fullgraph=True)
        function = torch.compile(loss_of, backend="eager", fullgraph=True)
        for _ in range(40):
            function(x); net(x); step()
        print(counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()), counters["frames"]["ok"])
    """,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of all scripts, recorded in one process, and stdout without us and with us."""
    folder = tmp_path_factory.mktemp("glance")
    scripts = [write(folder, _text(name), f"{name}.py") for name in SCRIPTS]
    plain = run_many_plain(*scripts)
    ours = run_many(*scripts, cwd=folder)
    assert plain.code == ours.code == 0, plain.err + ours.err
    return folder, plain.out, ours.out


def _text(name: str) -> str:
    return textwrap.dedent(START) + textwrap.dedent(SCRIPTS[name])


def test_the_script_notices_nothing(run):
    """Stdout is what it is without us; as many graphs where something is compiled inside the timing window."""
    _, plain, ours = run
    assert ours == plain
    assert plain.splitlines()[:4] == ["done"] * 4


def test_in_the_timing_window_modules_meet_no_forward_hooks(run):
    """Neither the root's children nor theirs; in the attribution window they do."""
    folder = run[0]
    found = manifest(folder / "runs" / "hooks")
    seen = json.loads((folder / "hooks.seen").read_text())
    timing, attribution = (window(found, kind, "short") for kind in ("timing", "attribution"))
    assert (timing.first_step, timing.steps, timing.forward_hooks) == (12, 5, False)
    assert seen[12:17] == [[0, 0]] * 5
    assert (attribution.first_step, attribution.steps, attribution.forward_hooks) == (19, 3, True)
    assert seen[19:22] == [[1, 1]] * 3
    assert len(steps_in(timing_trace(folder / "runs" / "hooks", "short"))) == 5


@pytest.mark.parametrize("name", ["hooks", "evaluation", "accumulation", "raises", "compiles"])
def test_steps_are_whole(run, name):
    """Each step of the timing window holds one optimizer step, whatever else its modules do."""
    trace = timing_trace(Path(run[0]) / "runs" / name, "short")
    spans = [(each["ts"], each["ts"] + each["dur"]) for each in steps_in(trace)]
    starts = [each["ts"] for each in trace if each.get("name") == "Optimizer.step#SGD.step"]
    assert [sum(begin <= start < end for start in starts) for begin, end in spans] == [1] * 5


def test_evaluations_are_noticed(run):
    """Step 15 is followed by two gradient-free calls: they begin the fifth step of the window, and it is marked."""
    timing = window(manifest(run[0] / "runs" / "evaluation"), "timing", "short")
    assert timing.evaluation_steps == [4]

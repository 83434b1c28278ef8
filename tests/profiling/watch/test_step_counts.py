"""The table of steps, with real torch scripts: each is profiled unmodified, and its steps are counted exactly."""

import pytest

from tests.scripts.forked import many
from tests.scripts.processes import write
from tests.scripts.recorded import inside, manifest, steps_in, timing_trace

pytestmark = pytest.mark.slow

HEADER = """
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
loss_of = nn.CrossEntropyLoss()
x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
opt = torch.optim.SGD(model.parameters(), lr=0.01)
"""

# script body, steps, source, period
TABLE = {
    "plain": (
        """
for _ in range(60):
    opt.zero_grad()
    loss_of(model(x), y).backward()
    opt.step()
""",
        60,
        "optimizer",
        1,
    ),
    "accumulation": (
        """
for _ in range(40):
    opt.zero_grad()
    for _ in range(4):
        loss_of(model(x), y).backward()
    opt.step()
""",
        40,
        "optimizer",
        1,
    ),
    "gan": (
        """
g, d = nn.Linear(2, 4), nn.Linear(4, 1)
opt_g = torch.optim.Adam(g.parameters())
opt_d = torch.optim.Adam(d.parameters())
z = torch.randn(16, 2)
for _ in range(45):
    opt_d.zero_grad()
    (d(x).mean() - d(g(z).detach()).mean()).backward()
    opt_d.step()
    opt_g.zero_grad()
    (-d(g(z)).mean()).backward()
    opt_g.step()
""",
        45,
        "optimizer",
        2,
    ),
    "grad_scaler": (
        """
scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
skipped = 0
for i in range(60):
    opt.zero_grad()
    loss = loss_of(model(x), y)
    if i in (20, 41):
        loss = loss * float("inf")
    scaler.scale(loss).backward()
    before = scaler.get_scale()
    scaler.step(opt)
    scaler.update()
    skipped += scaler.get_scale() < before
assert skipped == 2
""",
        60,
        "optimizer",
        1,
    ),
    "lbfgs": (
        """
opt = torch.optim.LBFGS(model.parameters(), max_iter=5)
def closure():
    opt.zero_grad()
    loss = loss_of(model(x), y)
    loss.backward()
    return loss
for _ in range(50):
    opt.step(closure)
""",
        50,
        "optimizer",
        1,
    ),
    "inference": (
        """
with torch.inference_mode():
    for _ in range(70):
        model(x)
""",
        70,
        "forward",
        1,
    ),
    "evaluation": (
        """
for i in range(60):
    opt.zero_grad()
    loss_of(model(x), y).backward()
    opt.step()
    if i % 10 == 9:
        with torch.no_grad():
            for _ in range(3):
                model(x)
""",
        60,
        "optimizer",
        1,
    ),
    "manual_sgd": (
        """
for _ in range(60):
    loss_of(model(x), y).backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.01 * p.grad
            p.grad = None
""",
        60,
        "forward",
        1,
    ),
    "foreign_optimizer": (
        """
class MyOptimizer:
    def __init__(self, params):
        self.params = list(params)
    def step(self):
        with torch.no_grad():
            for p in self.params:
                p -= 0.01 * p.grad
                p.grad = None
opt = MyOptimizer(model.parameters())
for _ in range(60):
    loss_of(model(x), y).backward()
    opt.step()
""",
        60,
        "forward",
        1,
    ),
    "loader": (
        """
data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randint(0, 3, (64,)))
for epoch in range(8):
    for a, b in torch.utils.data.DataLoader(data, batch_size=8):
        opt.zero_grad()
        loss_of(model(a), b).backward()
        opt.step()
""",
        64,
        "optimizer",
        1,
    ),
    "direct_forward": (
        """
for _ in range(60):
    opt.zero_grad()
    loss_of.forward(model.forward(x), y).backward()
    opt.step()
""",
        60,
        "optimizer",
        1,
    ),
    "no_module": (
        """
w = torch.randn(4, requires_grad=True)
opt = torch.optim.SGD([w], lr=0.01)
for _ in range(60):
    opt.zero_grad()
    (x @ w).square().mean().backward()
    opt.step()
""",
        60,
        "optimizer",
        1,
    ),
    "optimizer_in_backward": (
        """
opts = {p: torch.optim.SGD([p], lr=0.01) for p in model.parameters()}
def hook(p):
    opts[p].step()
    opts[p].zero_grad()
for p in model.parameters():
    p.register_post_accumulate_grad_hook(hook)
for _ in range(60):
    loss_of(model(x), y).backward()
""",
        60,
        "optimizer",
        1,
    ),
    "checkpointing": (
        """
from torch.utils.checkpoint import checkpoint
for _ in range(60):
    opt.zero_grad()
    out = checkpoint(model, x, use_reentrant=False)
    loss_of(out, y).backward()
    opt.step()
""",
        60,
        "optimizer",
        1,
    ),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Every script of the table, profiled."""
    folder = tmp_path_factory.mktemp("table")
    scripts = [write(folder, HEADER + body, f"{name}.py") for name, (body, *_) in TABLE.items()]
    return folder, many(*scripts, cwd=folder)


@pytest.mark.parametrize("name", TABLE)
def test_steps_are_counted(outcomes, name):
    """N iterations are N steps in the manifest, found the way the table says."""
    folder, ended = outcomes
    _, count, source, period = TABLE[name]
    found = manifest(folder / "runs" / name)
    assert ended[name]["exit_code"] == 0
    assert (found.steps.count, found.steps.source, found.steps.period) == (count, source, period)
    assert "recorder_failed" not in [finding.name for finding in found.findings], found.findings


@pytest.mark.parametrize("name", TABLE)
def test_both_rounds_are_recorded(outcomes, name):
    """40 iterations and more are enough for the short round, of 5 steps, or of 3 that hold several closures each."""
    folder, _ = outcomes
    found = manifest(folder / "runs" / name)
    assert [(each.kind, each.round) for each in found.windows][:2] == [("unprofiled", "short"), ("timing", "short")]
    assert len(steps_in(timing_trace(folder / "runs" / name, "short"))) == (3 if name == "lbfgs" else 5)


@pytest.mark.parametrize(
    ("name", "operator", "times"),
    [
        ("plain", "Optimizer.step#", 1),
        ("accumulation", "aten::cross_entropy_loss", 4),
        ("gan", "Optimizer.step#", 2),
        ("grad_scaler", "Optimizer.step#", 1),
        ("lbfgs", "Optimizer.step#", 1),
        ("inference", "aten::relu", 1),
        ("manual_sgd", "aten::cross_entropy_loss", 1),
        ("loader", "Optimizer.step#", 1),
        ("loader", "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", 1),
        ("direct_forward", "Optimizer.step#", 1),
        ("no_module", "Optimizer.step#", 1),
        ("optimizer_in_backward", "Optimizer.step#", 4),
        ("checkpointing", "aten::cross_entropy_loss", 1),
    ],
)
def test_each_recorded_step_holds_one_iteration(outcomes, name, operator, times):
    """Between two boundaries lies exactly one iteration's work (the epoch's turn may fetch once more)."""
    folder, _ = outcomes
    trace = timing_trace(folder / "runs" / name, "short")
    counts = [inside(trace, step, operator) for step in steps_in(trace)]
    assert all(count in (times, times + (operator.startswith("enumerate"))) for count in counts), counts


def test_training_by_hand_is_said(outcomes):
    """Gradients without a torch optimizer: counted as inference, with a finding; plain inference has none."""
    folder, _ = outcomes
    for name, said in (("manual_sgd", True), ("foreign_optimizer", True), ("inference", False)):
        found = manifest(folder / "runs" / name)
        assert ("no_optimizer" in [finding.name for finding in found.findings]) is said


def test_a_forward_called_directly_is_said(outcomes):
    """The model's and the loss's, though that calls no module: both lines, with what to do, once; nobody else's."""
    folder, ended = outcomes
    run = manifest(folder / "runs" / "direct_forward")
    found = [each.text for each in run.findings if each.name == "direct_forward"]
    lines = (folder / "direct_forward.py").read_text().split("\n")
    line = 1 + lines.index("    loss_of.forward(model.forward(x), y).backward()")
    for kind in ("Sequential", "CrossEntropyLoss"):
        (said,) = [text for text in found if text.startswith(f"{kind}.forward(…) is called directly at ")]
        assert f"direct_forward.py:{line}: call the module itself" in said
        assert ended["direct_forward"]["messages"].count(said) == 1
    others = [each for name in TABLE if name != "direct_forward" for each in manifest(folder / "runs" / name).findings]
    assert "direct_forward" not in {each.name for each in others}

"""model(x) against model.forward(x): what the call runs around forward, what that costs, what is lost without it.

python call_path.py                 a model without hooks
python call_path.py --hooks 1       with a hook on every module
"""

import argparse
import json
import os
import time

import torch
from torch import nn

parser = argparse.ArgumentParser(description="Compare model(x) with model.forward(x).")
parser.add_argument("--hooks", type=int, default=0, help="forward hooks on every module")
parser.add_argument("--steps", type=int, default=2000, help="training steps before the comparison")
parser.add_argument("--laps", type=int, default=60, help="laps of 200 calls each way, in turn")
parser.add_argument("--threads", type=int, help="of torch on the CPU (default: torch's own choice)")
parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to compute")
parser.add_argument("--json", metavar="FILE", default=os.environ.get("SAVE_FIGURES"), help="save what was measured")
args = parser.parse_args()
device = args.device
if args.threads:
    torch.set_num_threads(args.threads)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3)).to(device)
x = torch.rand(120, 4, device=device)
y = torch.randint(0, 3, (120,), device=device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
seen = []
for _ in range(args.hooks):
    for module in model.modules():
        module.register_forward_hook(lambda module, inputs, output: seen.append(1))

for _ in range(args.steps):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


def lap(call):
    """Microseconds of one of 200 calls."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(200):
        call(x)
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / 200 * 1e6


def middle(values):
    return sorted(values)[len(values) // 2]


def watched():
    """How many hooks for all modules there are, and whether a profiler is on: either makes a call longer."""
    here = nn.modules.module
    hooks = (here._global_forward_pre_hooks, here._global_forward_hooks)
    hooks += (here._global_backward_pre_hooks, here._global_backward_hooks)
    return {"global_hooks": sum(map(len, hooks)), "profiler": bool(torch._C._autograd._profiler_enabled())}


# in turn, so that whatever disturbs meets both alike; no gradients, so that little but the call is measured
before = watched()
with torch.no_grad():
    laps = [(lap(model), lap(model.forward)) for _ in range(args.laps)]
after = watched()
call_us, forward_us = (middle(column) for column in zip(*laps, strict=True))
extra_us = middle([by_call - by_forward for by_call, by_forward in laps])
print(
    f"model(x) {call_us:.2f} us, model.forward(x) {forward_us:.2f} us, difference of a pair of laps {extra_us:.2f} us"
)

# what the outermost call runs, and what forward alone does not
counts = {}
for kind, register in {
    "forward pre-hook": lambda hook: model.register_forward_pre_hook(hook),
    "forward hook": lambda hook: model.register_forward_hook(hook),
    "backward pre-hook": lambda hook: model.register_full_backward_pre_hook(hook),
    "backward hook": lambda hook: model.register_full_backward_hook(hook),
    "hook for all modules": lambda hook: nn.modules.module.register_module_forward_hook(hook),
}.items():
    counts[kind] = []
    for call in (model, model.forward):
        ran = []
        handle = register(lambda module, *rest, ran=ran: ran.append(1) if module is model else None)
        call(x.clone().requires_grad_()).sum().backward()
        handle.remove()
        counts[kind].append(len(ran))
    print(f"{kind:22s} ran {counts[kind][0]} time by model(x), {counts[kind][1]} by model.forward(x)")

if args.json:
    measured = {"call_us": call_us, "forward_us": forward_us, "extra_us": extra_us, "hooks": counts}
    measured |= {name: max(before[name], after[name]) for name in before}
    with open(args.json, "w") as file:
        json.dump(measured, file)

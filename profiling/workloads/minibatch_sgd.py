"""Fit a line in ten dimensions by gradient descent, with minibatches of any size.

python minibatch_sgd.py --batch-size 1         stochastic gradient descent: one row a step
python minibatch_sgd.py --batch-size 10000     gradient descent: all rows in each step
python minibatch_sgd.py --batch-size 100       between the two
"""

import argparse
import json
import os
import time

import torch
from sklearn.datasets import make_regression
from torch import nn

RATES = {1: 0.01, 10: 0.03, 100: 0.1, 1000: 0.3}  # larger batches have less noise and bear larger steps

parser = argparse.ArgumentParser(description="Linear regression with minibatches.")
parser.add_argument("--rows", type=int, default=10000, help="rows of generated data")
parser.add_argument("--batch-size", type=int, default=100, help="rows a step")
parser.add_argument("--seconds", type=float, default=3.0, help="train about so long")
parser.add_argument("--threads", type=int, help="of torch on the CPU (default: torch's own choice)")
parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train")
parser.add_argument("--json", metavar="FILE", default=os.environ.get("SAVE_FIGURES"), help="save what was measured")
args = parser.parse_args()
device = args.device
if args.threads:
    torch.set_num_threads(args.threads)

torch.manual_seed(0)
x, y = make_regression(args.rows, 10, noise=10.0, random_state=0)
x = torch.tensor(x, dtype=torch.float32, device=device)
y = torch.tensor(y, dtype=torch.float32, device=device)[:, None]
x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
optimum = (x @ torch.linalg.lstsq(x.cpu(), y.cpu()).solution.to(device) - y).square().mean().item()

batch = min(args.batch_size, args.rows)
model = nn.Linear(10, 1).to(device)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=RATES.get(batch, 0.3))


def now():
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def excess():
    """How far the loss over all rows is from the best there is."""
    with torch.no_grad():
        return (x @ model.weight.T + model.bias - y).square().mean().item() - optimum


def batches():
    while True:
        order = torch.randperm(args.rows, device=device)
        for start in range(0, args.rows - batch + 1, batch):
            yield order[start : start + batch]


for _ in range(3):  # the first steps of a process are slow; these change nothing
    criterion(model(x[:batch]), y[:batch]).backward()

# the loss is looked at off the clock: after each of the first steps, then each time 5 % more have been made
trained, steps, chunk = 0.0, 0, 1
curve, laps = [[0, excess()]], []
source = batches()
while trained < args.seconds:
    began = now()
    for _ in range(chunk):
        rows = next(source)
        optimizer.zero_grad()
        loss = criterion(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
    spent = now() - began
    trained, steps = trained + spent, steps + chunk
    laps += [spent / chunk] * chunk
    curve.append([steps, max(excess(), 1e-9)])
    chunk = max(1, steps // 20)

us_per_step = sorted(laps)[len(laps) // 2] * 1e6  # of the middle step: what disturbs some does not count
target = curve[0][1] / 1000
needed = next((made for made, value in curve if value < target), None)
reached = None if needed is None else needed * us_per_step / 1e6
print(f"batch {batch}: {us_per_step:.1f} us a step, {us_per_step * args.rows / batch / 1000:.2f} ms an epoch")
print(f"{steps} steps, loss above the best {curve[-1][1]:.6f}; a thousandth of its start after {needed}, {reached} s")

if args.json:
    measured = {
        "batch": batch,
        "rows": args.rows,
        "steps": steps,
        "us_per_step": us_per_step,
        "epoch_ms": us_per_step * args.rows / batch / 1000,
        "curve": [[made * us_per_step / 1e6, value] for made, value in curve],
        "excess": curve[-1][1],
    }
    if reached is not None:
        measured |= {"steps_to_target": needed, "seconds_to_target": reached}
    with open(args.json, "w") as file:
        json.dump(measured, file)

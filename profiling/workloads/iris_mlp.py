"""Train a small neural network on the Iris flowers, the way a first tutorial does it.

    python iris_mlp.py                          20000 epochs on the GPU if there is one
    python iris_mlp.py --device cpu             the same on the CPU
    python iris_mlp.py --record-every 100       read the loss back only every 100th epoch (0 = never)
    python iris_mlp.py --timing                 say how long it took, and what .item(), append and print take alone

150 flowers, 4 measurements each, 3 species; 120 flowers to train on, all of them in every step.
Nothing in here knows about profiling.
"""

import argparse
import json
import os
import time

import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler
from torch import nn

parser = argparse.ArgumentParser(description="Train a 4-10-3 network on the Iris flowers.")
parser.add_argument("--epochs", type=int, default=20000, help="training steps; each sees all 120 flowers")
parser.add_argument("--record-every", type=int, default=1, help="keep the loss every N epochs (0 = never)")
parser.add_argument("--print-every", type=int, default=2000, help="print the loss every N epochs (0 = never)")
parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to train")
parser.add_argument("--threads", type=int, help="of torch on the CPU (default: torch's own choice)")
parser.add_argument("--seed", type=int, default=0, help="random seed of the split and the weights")
parser.add_argument("--plot", metavar="FILE", help="save the loss curve as a picture (needs matplotlib)")
parser.add_argument("--timing", action="store_true", help="say how long it took; time .item(), append, print")
parser.add_argument("--json", metavar="FILE", default=os.environ.get("SAVE_FIGURES"), help="save what was measured")
args = parser.parse_args()

if args.threads:
    torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
device = args.device
if device == "auto":
    device = "cuda" if torch.cuda.is_available() else "cpu"

# data: everything scaled to 0..1 and moved to the device once, before training
iris = load_iris()
train_x, test_x, train_y, test_y = train_test_split(
    iris.data, iris.target, test_size=30, random_state=args.seed, stratify=iris.target
)
scaler = MinMaxScaler().fit(train_x)
train_x = torch.tensor(scaler.transform(train_x), dtype=torch.float32, device=device)
test_x = torch.tensor(scaler.transform(test_x), dtype=torch.float32, device=device)
train_y = torch.tensor(train_y, dtype=torch.long, device=device)
test_y = torch.tensor(test_y, dtype=torch.long, device=device)

# model
model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3)).to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)


def now():
    """Seconds on the clock, once the device has done all that was asked of it."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


# training; the clock is read every twentieth of the way
print(f"{len(train_x)} flowers to train on, {len(test_x)} to test, {args.epochs} epochs on {device}")
losses = []
lap = max(1, args.epochs // 20)
clock = [now()]
for epoch in range(1, args.epochs + 1):
    optimizer.zero_grad()
    output = model(train_x)
    loss = criterion(output, train_y)
    loss.backward()
    optimizer.step()
    if args.record_every and epoch % args.record_every == 0:
        losses.append(loss.item())
    if args.print_every and epoch % args.print_every == 0:
        print(f"epoch {epoch:6d}  loss {loss.item():.4f}")
    if epoch % lap == 0:
        clock.append(now())
laps = sorted((end - start) / lap for start, end in zip(clock, clock[1:], strict=False))
us_per_epoch = laps[len(laps) // 2] * 1e6  # the middle one: a lap that something disturbed does not count
if args.timing:
    print(f"{us_per_epoch:.0f} us an epoch, {us_per_epoch * args.epochs / 1e6:.2f} s for all")

# test
with torch.no_grad():
    correct = (model(test_x).argmax(dim=1) == test_y).sum().item()
print(f"accuracy on {len(test_y)} unseen flowers: {correct / len(test_y):.1%}")

# what reading, keeping and printing a number cost by themselves, in us
prices = {}
if args.timing:
    kept, number, times = [], loss.item(), 5000
    with open(os.devnull, "w") as nowhere:
        for what, action in {
            "item_us": loss.item,
            "append_us": lambda: kept.append(number),
            "print_us": lambda: print(f"epoch {epoch:6d}  loss {number:.4f}", file=nowhere),
            "nothing_us": lambda: None,
        }.items():
            began = now()
            for _ in range(times):
                action()
            prices[what] = (now() - began) / times * 1e6
            print(f"{what[:-3]:8s} {prices[what]:8.3f} us")

# the loss curve: a picture if asked for, else ten lines of text
if args.plot:
    import matplotlib.pyplot as plt

    plt.plot([args.record_every * (i + 1) for i in range(len(losses))], losses)
    plt.xlabel("epoch")
    plt.ylabel("loss")
    plt.savefig(args.plot)
elif losses:
    print("loss curve")
    for i in range(10):
        row = min(len(losses) - 1, i * len(losses) // 9)
        bar = "#" * round(40 * losses[row] / max(losses))
        print(f"  epoch {(row + 1) * args.record_every:6d} |{bar:<40s}| {losses[row]:.4f}")

if args.json:
    every = max(1, len(losses) // 200)  # 200 points are enough for a curve
    curve = [[(i + 1) * args.record_every, losses[i]] for i in range(every - 1, len(losses), every)]
    measured = {
        "us_per_epoch": us_per_epoch,
        "epochs": args.epochs,
        "accuracy": correct / len(test_y),
        "loss": loss.item(),
        "curve": curve,
        **prices,
    }
    with open(args.json, "w") as file:
        json.dump(measured, file)

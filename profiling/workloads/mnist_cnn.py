"""Train a small convolutional network on digits, or on generated images of MNIST's size.

python mnist_cnn.py                                   scikit-learn's digits, 8 x 8
python mnist_cnn.py --data generated --batch-size 256 28 x 28, as large as MNIST's
python mnist_cnn.py --optimizer adam                  Adam instead of SGD
python mnist_cnn.py --try-batch 100000000000          and what happens when a batch does not fit
"""

import argparse
import contextlib
import json
import os
import sys
import time

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser(description="Train a small CNN.")
parser.add_argument("--data", choices=["digits", "generated"], default="digits")
parser.add_argument("--channels", type=int, default=8, help="of the first convolution; the second has twice as many")
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
parser.add_argument("--lr", type=float, help="learning rate (default: 0.1 for SGD with momentum, 0.002 for Adam)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--try-batch", type=int, default=0, help="at the end, try one step with so many images")
parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train")
parser.add_argument("--json", metavar="FILE", default=os.environ.get("SAVE_FIGURES"), help="save what was measured")
args = parser.parse_args()
device = args.device
torch.manual_seed(args.seed)

# data: the last 360 digits are for the test
if args.data == "digits":
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(digits.images, dtype=torch.float32)[order, None] / 16
    labels = torch.tensor(digits.target, dtype=torch.long)[order]
else:
    images = torch.rand(max(2048, args.batch_size) + 360, 1, 28, 28)
    labels = torch.randint(0, 10, (len(images),))
images, labels = images.to(device), labels.to(device)
size, train = images.shape[-1], len(images) - 360

# model
wide = args.channels
model = nn.Sequential(
    nn.Conv2d(1, wide, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(wide, 2 * wide, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(2 * wide * (size // 4) ** 2, 10),
).to(device)
criterion = nn.CrossEntropyLoss()
if args.optimizer == "sgd":
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr or 0.1, momentum=0.9)
else:
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr or 0.002)


def now():
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def accuracy():
    with torch.no_grad():
        return (model(images[train:]).argmax(1) == labels[train:]).float().mean().item()


def process_peak():
    """The most memory this process ever held, bytes; None where the system does not say (Windows)."""
    with contextlib.suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return None


def prediction_us(images):
    """Microseconds of one prediction of a batch: the middle one of eleven."""
    spent = []
    with torch.no_grad():
        for _ in range(12):
            began = now()
            model(images)
            spent.append(now() - began)
    return sorted(spent[1:])[5] * 1e6


# training; the clock is read and the accuracy looked at fifty times, the latter off the clock
lap = max(1, args.steps // 50)
laps, curve, trained = [], [[0, accuracy()]], 0.0
began = now()
for step in range(1, args.steps + 1):
    rows = torch.randint(0, train, (args.batch_size,), device=device)
    optimizer.zero_grad()
    loss = criterion(model(images[rows]), labels[rows])
    loss.backward()
    optimizer.step()
    if step % lap == 0:
        laps.append((now() - began) / lap)
        trained += laps[-1] * lap
        if args.data == "digits":
            curve.append([step, accuracy()])
        began = now()
us_per_step = sorted(laps)[len(laps) // 2] * 1e6
goal = next((step for step, value in curve if value >= 0.95), None)
print(f"{us_per_step:.0f} us a step, {args.batch_size / us_per_step * 1e6:.0f} images a second")
print(f"accuracy on 360 unseen images {curve[-1][1]:.1%}; 95 % after {goal} steps")

measured = {
    "us_per_step": us_per_step,
    "images_per_s": args.batch_size / us_per_step * 1e6,
    "batch": args.batch_size,
    "parameters": sum(each.numel() for each in model.parameters()),
    "accuracy": curve[-1][1],
    "curve": curve,
}
if goal is not None:
    measured["steps_to_95"] = goal
    measured["seconds_to_95"] = goal * us_per_step / 1e6
peak = torch.cuda.max_memory_allocated() if device == "cuda" else process_peak()
if peak is not None:
    measured["peak_bytes"] = peak
# the trained model predicts: where it was trained, and on the CPU
measured["predict_us"] = prediction_us(images[: args.batch_size])

# the limit of memory: one step with a batch that may not fit; the training above is kept whatever happens
if args.try_batch:
    try:
        batch = torch.empty(args.try_batch, 1, size, size, device=device)
        criterion(model(batch), torch.zeros(args.try_batch, dtype=torch.long, device=device)).backward()
        measured["limit"] = "it fits"
    except (torch.OutOfMemoryError, RuntimeError) as error:
        needed = args.try_batch * size * size * 4 / 1e9
        measured["limit"] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        print(
            f"a batch of {args.try_batch} images does not fit (its images alone take {needed:.0f} GB); training is kept"
        )

measured["predict_on_cpu_us"] = measured["predict_us"]
if device == "cuda":
    model, images, device = model.to("cpu"), images.to("cpu"), "cpu"
    measured["predict_on_cpu_us"] = prediction_us(images[: args.batch_size])

if args.json:
    with open(args.json, "w") as file:
        json.dump(measured, file)

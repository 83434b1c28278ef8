"""Multiply two matrices element by element, by column, in blocks and at once, and see what each costs.

    python matmul.py                    on the CPU
    python matmul.py --device cuda      on the GPU; also shows what happens when one forgets to synchronize

The arithmetic is the same each time: 2 n^3 operations. What differs is how many calls of the framework it takes.
"""

import argparse
import json
import os
import time

import torch


class Timer:
    """A stopwatch that keeps every time it measured."""

    def __init__(self, device):
        self.device, self.times = device, []

    def start(self):
        self.began = self.now()

    def stop(self):
        self.times.append(self.now() - self.began)
        return self.times[-1]

    def now(self):
        if self.device == "cuda":
            torch.cuda.synchronize()  # without this, only the time to *ask* for the work is measured
        return time.perf_counter()

    def avg(self):
        return sum(self.times) / len(self.times)

    def sum(self):
        return sum(self.times)

    def cumsum(self):
        total = 0.0
        return [total := total + seconds for seconds in self.times]

    def best(self):
        return min(self.times)


parser = argparse.ArgumentParser(description="Multiply matrices in four ways.")
parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32, 64, 128, 256], help="for all four ways")
parser.add_argument("--large", type=int, nargs="+", default=[512, 1024, 2048], help="for the quick ways only")
parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to multiply")
parser.add_argument("--json", metavar="FILE", default=os.environ.get("SAVE_FIGURES"), help="save what was measured")
args = parser.parse_args()
device = args.device


def by_element(a, b, c):
    for i in range(len(a)):
        for j in range(len(a)):
            c[i, j] = torch.dot(a[i, :], b[:, j])


def by_column(a, b, c):
    for j in range(len(a)):
        c[:, j] = torch.mv(a, b[:, j])


def in_blocks(a, b, c, block=64):
    for j in range(0, len(a), block):
        c[:, j : j + block] = torch.mm(a, b[:, j : j + block])


def at_once(a, b, c):
    torch.mm(a, b, out=c)


def measure(way, size):
    """A timer that has seen several products."""
    a, b, c = (torch.rand(size, size, device=device) for _ in range(3))
    way(a, b, c)  # warms up
    timer = Timer(device)
    for _ in range(2 if way is by_element else 5):
        timer.start()
        way(a, b, c)
        timer.stop()
    error = (c - a @ b).abs().max().item()
    assert error < 1e-3 * size, "a way gives another result"
    return timer


curves, means = {}, {}
for way in (by_element, by_column, in_blocks, at_once):
    curve = []
    for size in args.sizes + (args.large if way in (in_blocks, at_once) else []):
        timer = measure(way, size)
        seconds = timer.best()  # what disturbs can only make it longer
        curve.append([size, 2 * size**3 / seconds / 1e9])
        spent = f"best {seconds * 1e6:12.1f} us, avg {timer.avg() * 1e6:12.1f} us, sum {timer.sum() * 1e3:8.1f} ms"
        print(f"{way.__name__:11s} n = {size:5d}  {spent}  {curve[-1][1]:10.3f} Gflop/s")
        if size == args.sizes[-1]:
            means[way.__name__] = timer.avg() * 1e6
    curves[way.__name__] = curve

# what the machine allows: arithmetic as the best product reaches it, memory as a large copy does
peak = max(gflops for curve in curves.values() for _, gflops in curve)
big = torch.rand(16_000_000, device=device)
timer = Timer(device)
for _ in range(6):
    timer.start()
    copy = big.clone()
    timer.stop()
bandwidth = 2 * 4 * len(big) / timer.best() / 1e9
copies_ms = [seconds * 1e3 for seconds in timer.cumsum()]
print(f"arithmetic {peak:.1f} Gflop/s, memory {bandwidth:.1f} GB/s; the copies were done after")
print(", ".join(f"{ms:.1f}" for ms in copies_ms) + f" ms; {timer.avg() * 1e3:.2f} ms each")

# what one call costs, however small the work
tiny = torch.rand(2, 2, device=device)
timer = Timer(device)
for _ in range(5):
    timer.start()
    for _ in range(1000):
        torch.mm(tiny, tiny)
    timer.stop()
call_us = timer.best() * 1000
print(f"one product of 2 x 2: {call_us:.2f} us")

# the trap: a GPU is asked and does not answer at once, so a clock that does not wait shows only the asking
size = (args.sizes + args.large)[-1]
a = torch.rand(size, size, device=device)
torch.mm(a, a)
timer = Timer(device)
timer.start()
began = time.perf_counter()
torch.mm(a, a)
unsynchronized_us = (time.perf_counter() - began) * 1e6
synchronized_us = timer.stop() * 1e6
print(f"n = {size} without waiting {unsynchronized_us:.1f} us, waiting for the result {synchronized_us:.1f} us")

if args.json:
    measured = {
        **{f"curve_{name}": curve for name, curve in curves.items()},
        **{f"mean_us_{name}": us for name, us in means.items()},
        "size": args.sizes[-1],
        "copies_ms": copies_ms,  # cumulative
        "peak_gflops": peak,
        "bandwidth_gb_s": bandwidth,
        "call_us": call_us,
        "unsynchronized_us": unsynchronized_us,
        "synchronized_us": synchronized_us,
    }
    with open(args.json, "w") as file:
        json.dump(measured, file)

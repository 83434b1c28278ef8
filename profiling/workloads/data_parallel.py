"""Train one model with several processes, several models at once, or feed one by a queue.

python data_parallel.py                                          one process
torchrun --standalone --nproc-per-node 2 data_parallel.py        two, which share gradients (DistributedDataParallel)
python data_parallel.py --mode dp                                DataParallel: one process for two GPUs
python data_parallel.py --mode many --processes 2                two trainings of their own at once on one device
python data_parallel.py --mode queue                             batches from one process through a queue
python data_parallel.py --mode loader                            batches from one DataLoader worker
python data_parallel.py --mode visible                           what CUDA_VISIBLE_DEVICES leaves a process
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import torch
import torch.multiprocessing as mp
from torch import nn

parser = argparse.ArgumentParser(description="Train with several processes.")
parser.add_argument("--mode", choices=["train", "dp", "many", "queue", "loader", "visible"], default="train")
parser.add_argument("--processes", type=int, default=2, help="of --mode many; GPUs of --mode dp")
parser.add_argument("--width", type=int, default=256, help="of the model's layers")
parser.add_argument("--batch-size", type=int, default=64, help="rows a step, of every process or GPU")
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--seconds", type=float, default=2.0, help="how long the trainings of --mode many go on")
parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train")
parser.add_argument("--json", metavar="FILE", default=os.environ.get("SAVE_FIGURES"), help="save what was measured")


def make(args, device):
    torch.manual_seed(0)
    layers = [layer for _ in range(3) for layer in (nn.Linear(args.width, args.width), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(args.width, 10)).to(device)


def now(device):
    if str(device).startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def middle(values):
    return sorted(values)[len(values) // 2]


class Training:
    """A model, its optimizer and its data: rows of its own, or batches that something else makes."""

    def __init__(self, args, device, wrap=None, rows=None, batches=None):
        self.device, self.batches = device, batches
        self.inner = make(args, device)
        self.model = wrap(self.inner) if wrap else self.inner
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.criterion = nn.CrossEntropyLoss()
        self.rows = rows or args.batch_size
        x, y = torch.rand(self.rows, args.width), torch.randint(0, 10, (self.rows,))
        self.own = x.to(device), y.to(device)

    def step(self):
        batch = self.own if self.batches is None else (each.to(self.device) for each in next(self.batches))
        x, y = batch
        self.optimizer.zero_grad()
        self.criterion(self.model(x), y).backward()
        self.optimizer.step()

    def lap(self, steps, alone=False):
        """Microseconds a step; ``alone``: without the exchange of gradients."""
        began = now(self.device)
        with self.model.no_sync() if alone else contextlib.nullcontext():
            for _ in range(steps):
                self.step()
        return (now(self.device) - began) / steps * 1e6

    def forwards(self):
        """In how many processes and threads the model's forward ran in one step, as seen from here."""
        seen = set()
        hook = self.inner.register_forward_pre_hook(lambda *_: seen.add((os.getpid(), threading.get_native_id())))
        self.step()
        hook.remove()
        return {"forward_processes": len({process for process, _ in seen}), "forward_threads": len(seen)}


def train(training, steps):
    """The middle one of ten laps; with DistributedDataParallel also without the exchange, in turn."""
    training.lap(5)
    shared = hasattr(training.model, "no_sync")
    laps = [(training.lap(steps // 10), training.lap(steps // 10, alone=True) if shared else 0.0) for _ in range(10)]
    measured = {"us_per_step": middle([a for a, _ in laps]), "rows": training.rows}
    if shared:
        measured["alone_us"] = middle([b for _, b in laps])
    return measured | training.forwards()


def memory_bytes(device):
    """Memory in use: of the whole GPU, else of this process, what it shares divided; None where nothing tells."""
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        return total - free
    with contextlib.suppress(OSError), open("/proc/self/smaps_rollup") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return None


def one_of_many(number, args, ready, results):
    """One training of its own among others: warm first, then all together for a while."""
    torch.set_num_threads(1)
    training = Training(args, args.device)
    training.lap(50)
    ready.wait()
    now(args.device)
    began = time.monotonic()  # one clock for all processes
    marks = [(began, 0)]
    while marks[-1][0] < began + args.seconds:
        training.lap(10)
        marks.append((time.monotonic(), marks[-1][1] + 10))
    held = memory_bytes(args.device)  # while the others still train, or wait for this
    ready.wait()
    results[number] = marks, held


def steps_until(marks, moment):
    """Steps made until a moment; between two marks as the time goes."""
    for (t0, made), (t1, more) in zip(marks, marks[1:], strict=False):
        if t0 <= moment <= t1:
            return made + (more - made) * (moment - t0) / (t1 - t0)
    return marks[-1][1] if moment > marks[-1][0] else 0


def at_once(args, context):
    """Several trainings on one device: what they do in the time in which all of them are at work."""
    with context.Manager() as manager:
        results, ready = manager.dict(), context.Barrier(args.processes, timeout=120)
        work = [context.Process(target=one_of_many, args=(n, args, ready, results)) for n in range(args.processes)]
        for process in work:
            process.start()
        for process in work:
            process.join()
        found = list(results.values())
    assert len(found) == args.processes, "a training did not come to its end"
    start, end = max(marks[0][0] for marks, _ in found), min(marks[-1][0] for marks, _ in found)
    steps = [steps_until(marks, end) - steps_until(marks, start) for marks, _ in found]
    measured = {
        "us_per_step": middle([(end - start) / each * 1e6 for each in steps]),
        "rows_per_s": sum(steps) * args.batch_size / (end - start),
        "common_s": end - start,
        "processes": len(found),
    }
    held = [each for _, each in found]
    if None not in held:
        measured["memory_bytes"] = max(held) if args.device == "cuda" else sum(held)
    return measured


def visible():
    """How many GPUs this process sees, one with CUDA_VISIBLE_DEVICES set to the first, and one with it empty."""

    def seen(value):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": value}
        command = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
        return int(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)

    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return {"seen": torch.cuda.device_count(), "seen_first": seen(first), "seen_none": seen("")}


def fill(queue, args, batches):
    """Make batches and put them, in shared memory, into the queue."""
    torch.set_num_threads(1)
    for _ in range(batches):
        queue.put((torch.rand(args.batch_size, args.width), torch.randint(0, 10, (args.batch_size,))))
    queue.put(None)
    queue.join()  # the memory is this process's: it stays until all has been used


def from_queue(args, context):
    queue = context.JoinableQueue(4)
    context.Process(target=fill, args=(queue, args, args.steps + 6), daemon=True).start()
    while (batch := queue.get()) is not None:
        yield batch
        queue.task_done()
    queue.task_done()


class Made(torch.utils.data.IterableDataset):
    """The same batches, made by a DataLoader's worker."""

    def __init__(self, args):
        self.rows, self.width = args.batch_size, args.width

    def __iter__(self):
        while True:
            yield torch.rand(self.rows, self.width), torch.randint(0, 10, (self.rows,))


def shared_training(args):
    """One of the processes of torchrun."""
    torch.set_num_threads(1)
    device = f"cuda:{os.environ['LOCAL_RANK']}" if args.device == "cuda" else "cpu"
    if args.device == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if args.device == "cuda" else "gloo")
    measured = train(Training(args, device, lambda model: nn.parallel.DistributedDataParallel(model)), args.steps)
    measured["backend"] = torch.distributed.get_backend()
    torch.distributed.destroy_process_group()
    world = int(os.environ["WORLD_SIZE"])
    measured["exchange_share"] = max(0.0, 1 - measured["alone_us"] / measured["us_per_step"])
    return measured | {"processes": world, "rows": world * args.batch_size}


def data_parallel(args):
    """DataParallel over some GPUs, each with as many rows as a process of DistributedDataParallel has."""
    gpus = list(range(args.processes)) if args.device == "cuda" else None  # without GPUs it only calls the model
    rows = args.batch_size * (len(gpus) if gpus else 1)
    return train(Training(args, args.device, lambda model: nn.DataParallel(model, gpus), rows), args.steps)


def fed(args, context):
    """Batches from another process, by a queue or by a DataLoader worker."""
    loader = torch.utils.data.DataLoader(
        Made(args), batch_size=None, num_workers=1, prefetch_factor=4, multiprocessing_context=context
    )
    batches = from_queue(args, context) if args.mode == "queue" else iter(loader)
    return train(Training(args, args.device, batches=batches), args.steps)


def main():
    args = parser.parse_args()
    context = mp.get_context("spawn")
    if args.mode != "dp":
        torch.set_num_threads(1)
    if args.mode == "visible":
        measured = visible()
    elif args.mode == "many":
        measured = at_once(args, context)
    elif "WORLD_SIZE" in os.environ:
        measured = shared_training(args)
    elif args.mode == "dp":
        measured = data_parallel(args)
    elif args.mode in ("queue", "loader"):
        measured = fed(args, context)
    else:
        measured = train(Training(args, args.device), args.steps)
    if "rows" in measured:
        measured["rows_per_s"] = measured["rows"] / measured["us_per_step"] * 1e6
    measured["gradient_bytes"] = 4 * sum(each.numel() for each in make(args, "cpu").parameters())
    if os.environ.get("RANK", "0") == "0":
        print(", ".join(f"{name} {value}" for name, value in measured.items()))
        if args.json:
            with open(args.json, "w") as file:
                json.dump(measured, file)


if __name__ == "__main__":  # the processes import this file
    main()

"""Train one model with several processes, several models at once, or feed one by a queue.

python data_parallel.py                                          one process
torchrun --standalone --nproc-per-node 2 data_parallel.py        two, which share gradients (DistributedDataParallel)
python data_parallel.py --mode dp                                DataParallel: one process, a thread for each GPU
python data_parallel.py --mode many --processes 2                two trainings of their own at once on one device
python data_parallel.py --mode queue                             batches from one process through a queue
python data_parallel.py --mode loader                            batches from one DataLoader worker
"""

import argparse
import contextlib
import json
import os
import threading
import time

import torch
import torch.multiprocessing as mp
from torch import nn

parser = argparse.ArgumentParser(description="Train with several processes.")
parser.add_argument("--mode", choices=["train", "dp", "many", "queue", "loader"], default="train")
parser.add_argument("--processes", type=int, default=2, help="of --mode many")
parser.add_argument("--width", type=int, default=256, help="of the model's layers")
parser.add_argument("--batch-size", type=int, default=64, help="rows a step, of every process")
parser.add_argument("--steps", type=int, default=300)
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


def train(args, device, wrap=None, batches=None):
    """Microseconds a step: the middle one of ten laps; with DistributedDataParallel also without the exchange."""
    model = make(args, device)
    model = wrap(model) if wrap else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    own = (
        torch.rand(args.batch_size, args.width, device=device),
        torch.randint(0, 10, (args.batch_size,), device=device),
    )

    def lap(steps, alone):
        began = now(device)
        for _ in range(steps):
            x, y = own if batches is None else (each.to(device) for each in next(batches))
            with model.no_sync() if alone else contextlib.nullcontext():
                optimizer.zero_grad()
                criterion(model(x), y).backward()
            optimizer.step()
        return (now(device) - began) / steps * 1e6

    lap(5, alone=False)
    shared = hasattr(model, "no_sync")
    laps = [
        (lap(args.steps // 10, alone=False), lap(args.steps // 10, alone=True) if shared else 0.0) for _ in range(10)
    ]
    threads = threading.active_count()
    return {"us_per_step": middle([a for a, _ in laps]), "alone_us": middle([b for _, b in laps]), "threads": threads}


def one_of_many(number, args, ready, results):
    """One training of its own among others, started together."""
    torch.set_num_threads(1)
    ready.wait()
    results[number] = train(args, args.device)["us_per_step"]


def fill(queue, args, batches):
    """Make batches and put them, in shared memory, into the queue."""
    torch.set_num_threads(1)
    for _ in range(batches):
        queue.put((torch.rand(args.batch_size, args.width), torch.randint(0, 10, (args.batch_size,))))
    queue.put(None)
    queue.join()  # the memory is this process's: it stays until all has been used


def from_queue(args, context):
    queue = context.JoinableQueue(4)
    context.Process(target=fill, args=(queue, args, args.steps + 5), daemon=True).start()
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


def main():
    args = parser.parse_args()
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 and args.mode != "dp":
        torch.set_num_threads(1)
    context = mp.get_context("spawn")
    if args.mode == "many":
        with context.Manager() as manager:
            results, ready = manager.dict(), context.Barrier(args.processes)
            work = [context.Process(target=one_of_many, args=(n, args, ready, results)) for n in range(args.processes)]
            for process in work:
                process.start()
            for process in work:
                process.join()
            measured = {"us_per_step": middle(list(results.values())), "processes": len(results)}
    elif world > 1:
        cuda = args.device == "cuda"
        torch.set_num_threads(1)
        device = f"cuda:{os.environ['LOCAL_RANK']}" if cuda else "cpu"
        if cuda:
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
        measured = train(args, device, lambda model: nn.parallel.DistributedDataParallel(model))
        measured["backend"] = torch.distributed.get_backend()
        torch.distributed.destroy_process_group()
    elif args.mode == "dp":
        measured = train(args, args.device, nn.DataParallel)
    elif args.mode == "queue":
        measured = train(args, args.device, batches=from_queue(args, context))
    elif args.mode == "loader":
        loader = torch.utils.data.DataLoader(
            Made(args), batch_size=None, num_workers=1, prefetch_factor=4, multiprocessing_context=context
        )
        measured = train(args, args.device, batches=iter(loader))
    else:
        measured = train(args, args.device)
    together = measured.get("processes", world)
    measured |= {"rows_per_s": together * args.batch_size / measured["us_per_step"] * 1e6, "processes": together}
    measured["gradient_bytes"] = 4 * sum(each.numel() for each in make(args, "cpu").parameters())
    if measured.get("alone_us"):
        measured["exchange_share"] = max(0.0, 1 - measured["alone_us"] / measured["us_per_step"])
    if rank == 0:
        print(", ".join(f"{name} {value}" for name, value in measured.items()))
        if args.json:
            with open(args.json, "w") as file:
                json.dump(measured, file)


if __name__ == "__main__":  # the processes import this file
    main()

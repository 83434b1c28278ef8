"""Train on samples that take the processor time to make, with any number of DataLoader workers.

python dataloader.py --workers 0                the training process makes them itself
python dataloader.py --workers 2 --persistent   two workers, kept from epoch to epoch
python dataloader.py --sample-us 0              samples that cost nothing
"""

import argparse
import json
import os
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

parser = argparse.ArgumentParser(description="Train from a DataLoader.")
parser.add_argument("--workers", type=int, default=0, help="worker processes")
parser.add_argument("--persistent", action="store_true", help="keep the workers from epoch to epoch")
parser.add_argument("--pin", action="store_true", help="put batches into pinned memory")
parser.add_argument("--non-blocking", action="store_true", help="copy to the GPU without waiting")
parser.add_argument("--sample-us", type=float, default=500.0, help="processor time that making one sample takes")
parser.add_argument("--samples", type=int, default=1600, help="samples of an epoch")
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--pixels", type=int, default=28, help="height and width of an image")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to train")
parser.add_argument("--json", metavar="FILE", default=os.environ.get("SAVE_FIGURES"), help="save what was measured")


class Images(Dataset):
    """Square images; each takes some processor time to make, whoever makes it."""

    def __init__(self, samples, us, pixels):
        self.samples, self.us, self.pixels = samples, us, pixels

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        until = time.thread_time() + self.us / 1e6
        image = torch.full((1, self.pixels, self.pixels), index / self.samples)
        while time.thread_time() < until:
            pass
        return image, index % 10


def main():
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # leaves the other cores to the workers
    model = nn.Sequential(nn.Flatten(), nn.Linear(args.pixels**2, 64), nn.ReLU(), nn.Linear(64, 10)).to(args.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(
        Images(args.samples, args.sample_us, args.pixels),
        batch_size=args.batch_size,
        num_workers=args.workers,
        persistent_workers=args.persistent and args.workers > 0,
        pin_memory=args.pin,
    )
    waited, first, epochs, copies = 0.0, [], [], []
    cpu = os.times()
    for _ in range(args.epochs):
        began = asked = time.perf_counter()
        for number, (images, labels) in enumerate(loader):
            got = time.perf_counter()
            waited += got - asked
            if number == 0:
                first.append(got - asked)
            images = images.to(args.device, non_blocking=args.non_blocking)
            labels = labels.to(args.device, non_blocking=args.non_blocking)
            copies.append(time.perf_counter() - got)
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
            asked = time.perf_counter()
        if args.device == "cuda":
            torch.cuda.synchronize()
        epochs.append(time.perf_counter() - began)
    spent = [after - before for before, after in zip(cpu, os.times(), strict=True)]
    later = sorted(epochs[1:] or epochs)[len(epochs[1:]) // 2]
    measured = {
        "samples_per_s": args.samples / later,
        "epoch_s": later,
        "first_epoch_s": epochs[0],
        "first_batch_s": sorted(first[1:] or first)[len(first[1:]) // 2],  # of a later epoch: workers start again
        "waiting_share": waited / sum(epochs),
        "copy_ms": sorted(copies)[len(copies) // 2] * 1000,  # the host is in .to(); waiting or not
        "batch_bytes": args.batch_size * args.pixels**2 * 4,
        "own_cpu_s": spent[0] + spent[1],
    }
    if os.name != "nt" and not args.persistent:  # of workers that have ended; Windows does not tell
        measured["workers_cpu_s"] = spent[2] + spent[3]
    for name, value in measured.items():
        print(f"{name:14s} {value:10.3f}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(measured, file)


if __name__ == "__main__":  # workers import this file where processes are not forked
    main()

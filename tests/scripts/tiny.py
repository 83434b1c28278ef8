"""The tiny training that most scripts of tests are: a network, an optimizer, and ``step()``, which returns the loss."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.scripts.processes import write

HEADER = """
    import os, pathlib, sys, threading, time, torch
    from torch import nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(16, 4)
    def loss_of(batch, net=model): return net(batch).square().mean()
    def step(batch=x, net=model):
        opt.zero_grad()
        loss = loss_of(batch, net)
        loss.backward()
        opt.step()
        return loss.item()
"""


def tiny(*bodies: str) -> str:
    """The text of a script that defines ``step()``, and then does what ``bodies`` say; each may be indented."""
    return "\n".join(textwrap.dedent(each).strip("\n") for each in (HEADER, *bodies)) + "\n"


def script(folder: Path, body: str, name: str = "train.py") -> Path:
    """Write such a script."""
    return write(folder, tiny(body), name)

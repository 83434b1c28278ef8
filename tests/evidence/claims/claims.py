"""The claims about GPU training that this project was asked to check, and the rule by which figures decide each.

Every verdict is computed from the results of `stallscope demo` in ``docs/workloads/*.json``; what they do not hold is
not measured, with the reason.
"""

from __future__ import annotations

from tests.evidence.claims import iris, networks, processes
from tests.evidence.claims.answers import Claim

IRIS, CALLS, CNN, LOADER = ("iris-mlp",), ("call-path",), ("mnist-cnn",), ("dataloader",)
PARALLEL, MATMUL, SGD = ("data-parallel",), ("matmul",), ("minibatch-sgd",)

CLAIMS: dict[int, Claim] = {
    1: Claim("The GPU run is slow because data moves to the GPU and back at each `.item()`.", IRIS, iris.item_on_gpu),
    2: Claim("It is slow because each kernel launch has a fixed cost.", IRIS, iris.launches),
    3: Claim("It is slow because a small model leaves compute units idle.", IRIS, iris.idle_units),
    4: Claim("Printing every 200 epochs instead of each saves 8 %.", IRIS, iris.eight_percent),
    5: Claim(
        "Recording interval and time are not linear since `.item()` makes the GPU wait for the CPU.",
        IRIS,
        iris.not_linear,
    ),
    6: Claim("Compute dominates, recording is below 1 %.", (*IRIS, *MATMUL), iris.below_one_percent),
    7: Claim("Asynchrony hides `.item()`.", IRIS, iris.hidden),
    8: Claim("List append and print cost little.", IRIS, iris.cheap),
    9: Claim("At this size noise is as large as the effect.", IRIS, iris.noisy),
    10: Claim("`model(x)` is better than `model.forward(x)`, for its hooks.", CALLS, networks.hooks),
    11: Claim("A GPU trains a CNN 4–5 × (elsewhere: 50 ×) faster than a CPU.", CNN, networks.cnn_on_gpu),
    12: Claim("A GPU has low latency.", IRIS, iris.latency),
    13: Claim("A GPU has more memory than the CPU.", IRIS, iris.more_memory),
    14: Claim("GPU training gives better accuracy and generalisation.", CNN, networks.accuracy_on_gpu),
    15: Claim("Models trained on a GPU predict faster.", CNN, networks.prediction),
    16: Claim("A GPU needs less energy for the same work.", CNN, networks.energy),
    17: Claim("`cudaDeviceSynchronize` makes sure that work was submitted.", MATMUL, processes.submitted),
    18: Claim("SGD converges faster than Adam.", CNN, networks.adam),
    19: Claim("More DataLoader workers relieve the CPU.", LOADER, networks.more_workers),
    20: Claim("The best number of workers is the number of cores.", LOADER, networks.best_number),
    21: Claim("DataParallel uses processes.", PARALLEL, processes.uses_processes),
    22: Claim("DDP communicates less than DataParallel.", PARALLEL, processes.ddp_against_dp),
    23: Claim("More processes cure a shortage of memory.", PARALLEL, processes.more_processes),
    24: Claim("Sharing one GPU between processes speeds training up.", PARALLEL, processes.shared_gpu),
    25: Claim("Profiling shows where the time goes.", IRIS, iris.profiled),
    26: Claim(
        "Matrix product by element is far slower than by column, whole or in blocks.", MATMUL, processes.by_element
    ),
    27: Claim("Framework overhead makes batching pay even on a CPU.", SGD, processes.batching),
    28: Claim("A minibatch is the compromise between gradient descent and SGD.", SGD, processes.compromise),
}

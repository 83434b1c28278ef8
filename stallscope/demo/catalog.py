"""The built-in workloads by name, in the order in which they are listed."""

from __future__ import annotations

from stallscope.demo import call_path, data_parallel, dataloader, iris_mlp, matmul, minibatch_sgd, mnist_cnn
from stallscope.demo.story import Workload

MODULES = (iris_mlp, call_path, mnist_cnn, dataloader, data_parallel, minibatch_sgd, matmul)
WORKLOADS: dict[str, Workload] = {module.WORKLOAD.name: module.WORKLOAD for module in MODULES}

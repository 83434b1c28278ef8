"""The built-in workloads by name, in the order in which they are listed."""

from __future__ import annotations

from stallscope.demo import iris_mlp
from stallscope.demo.story import Workload

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (iris_mlp.WORKLOAD,)}

"""``stallscope demo``: the built-in training scripts, each run in its variants, profiled, measured and explained.

``catalog`` names the workloads, one file each; ``running`` runs their variants in turn, ``results`` holds what was
measured, a workload's ``tell`` makes a ``Story`` of it, ``page`` and ``plot`` show that. ``demo`` goes through
all of it.
"""

"""One case as a training script, for `stallscope profile -m tests.evidence.gpu.train EXPERIMENT CASE --device cuda`."""

import argparse

from tests.evidence.gpu.experiments import find

parser = argparse.ArgumentParser(description="Run the steps of one case of one experiment.")
parser.add_argument("experiment")
parser.add_argument("case")
parser.add_argument("--device", default="cuda")
parser.add_argument("--steps", type=int, default=6000)
args = parser.parse_args()

step = find(args.experiment, args.case).make(args.device)
for _ in range(args.steps):
    step()

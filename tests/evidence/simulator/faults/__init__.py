"""Traces with a known cause, written from the catalogue of causes alone, before any rule that finds them.

    cards.py      GPUs, and the real names of kernels on each; plan.py: a training script, and what it does where
    base.py       a training without a mistake; fault.py: what a fault is
    hosts.py, waits.py, memory.py, inputs.py, kernels.py, devices.py    the faults; healthy.py: none
    recording.py  stacks, shapes, marks, carried work, a clock that is off; verdicts.py: the verdict that is true
    case.py       a seed's training with its fault brought to its cost; ../causes.py: answers beside the truth

The faults are frozen: no answer may change them. A fault costs 15 to 60 % of the step by the machine's own step with
it and without it. Where the script without its fault keeps the GPU busy, the fault's own name is asked for first, not
"launching", which would save as much and says less.
"""

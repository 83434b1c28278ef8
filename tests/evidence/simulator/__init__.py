"""A machine without a GPU: training loops written as data, executed event by event, recorded as Kineto would.

    program.py    the little language: operators, launches, copies, waits, fetches, backward passes, graphs
    models.py     random trainings (MLP, CNN, transformer) and the program of each; fixes.py changes a training
    machine.py    constants of one machine, drawn from a seed; noise.py: jitter, drift, slow moments
    device.py     streams, copy engines, events between streams, graphs
    loader.py     the DataLoader: in the training process, or in worker processes
    host.py       the threads of the training process: runs a program against a device; calls.py: more of what they do
    run.py        one process: steps timed without a profiler, then recorded with one
    kineto.py     the record, written as torch 2.13 writes it
    pairs.py      before and after a fix, both executed; evaluate.py: the forecast beside the truth
    python -m tests.evidence.simulator    the table of errors by fix and by regime
    faults/       traces with a known cause, frozen before the rules that find it; causes.py: answers beside the truth
    python -m tests.evidence.simulator.causes    right causes and verdicts, by fault

It shares no code and no constants with `stallscope.analysis`, which sees only the trace and the unprofiled step time.
It knows effects that the analysis does not: a profiler that costs time per operator and per call, jitter that is
correlated in time, other processes on the same cores and memory bus, kernels that run slower on a device that was
idle and at lower clocks on one that is hot, runs of one program that differ by a percent. It is still a model: what
holds here need not hold on hardware, and what fails here would fail there.
"""

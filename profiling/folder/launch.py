"""Which rank of which launch this process is, by the variables that launchers set. Nothing is asked of the script.

Known: torchrun (and what stands on it: ``accelerate launch``, ``deepspeed``), Slurm's ``srun``, MPI's ``mpirun`` (Open
MPI, MPICH, Intel MPI), and ``RANK`` with ``WORLD_SIZE`` set by hand.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

Environment = Mapping[str, str]

SINGLE_PROCESS = 1
TORCHRUN_UNNAMED = ("", "none")  # run ids of older torchruns that were given none
MPI_RANKS = (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"))
MPI_JOBS = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID")


@dataclass(frozen=True, slots=True)
class Launch:
    """One of several processes that were launched together.

    ``job`` is the same for all ranks of one start of the script, restarts by torchrun being starts of their own.
    ``unique``: no other start can ever have the same; where it is False, only ranks that start at about the same time
    belong together.
    """

    rank: int
    world_size: int
    job: str
    unique: bool


def find_launch(environ: Environment = os.environ, parent: Callable[[], int] = os.getppid) -> Launch | None:
    """The place of this process among its ranks; None if it is alone."""
    for look in (_torchrun, _by_hand, _slurm, _mpi):
        launch = look(environ, parent)
        if launch is not None:
            return launch if launch.world_size > SINGLE_PROCESS else None
    return None


def _torchrun(environ: Environment, parent: Callable[[], int]) -> Launch | None:
    ranks = _numbers(environ, "RANK", "WORLD_SIZE")
    name = environ.get("TORCHELASTIC_RUN_ID")
    if ranks is None or name is None:
        return None
    parts = ["torchrun", name, environ.get("TORCHELASTIC_RESTART_COUNT", "0"), *_address(environ)]
    one_node = environ.get("LOCAL_WORLD_SIZE") == environ.get("WORLD_SIZE")
    if one_node:  # its files lie in a folder made for this start; where it has none, it is our parent
        error_file = environ.get("TORCHELASTIC_ERROR_FILE")
        agent = PurePath(error_file).parent.parent if error_file else parent()
        parts += [socket.gethostname(), str(agent)]
    return Launch(*ranks, " ".join(parts), unique=one_node or name not in TORCHRUN_UNNAMED)


def _by_hand(environ: Environment, _parent: Callable[[], int]) -> Launch | None:
    ranks = _numbers(environ, "RANK", "WORLD_SIZE")
    parts = ["by hand", *_address(environ), environ.get("SLURM_JOB_ID", ""), environ.get("SLURM_STEP_ID", "")]
    return None if ranks is None else Launch(*ranks, " ".join(parts).rstrip(), unique=False)


def _slurm(environ: Environment, _parent: Callable[[], int]) -> Launch | None:
    """Tasks of ``srun``; the batch script itself carries the same variables, but for the step."""
    ranks = _numbers(environ, "SLURM_PROCID", "SLURM_NTASKS")
    job, step = environ.get("SLURM_JOB_ID"), environ.get("SLURM_STEP_ID")
    if ranks is None or job is None or step is None:
        return None
    parts = ["slurm", environ.get("SLURM_CLUSTER_NAME", ""), job, step, environ.get("SLURM_RESTART_COUNT", "0")]
    return Launch(*ranks, " ".join(parts), unique=True)


def _mpi(environ: Environment, parent: Callable[[], int]) -> Launch | None:
    for rank, size in MPI_RANKS:
        ranks = _numbers(environ, rank, size)
        if ranks is not None:
            job = next((environ[name] for name in MPI_JOBS if environ.get(name)), None)
            one_node = environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") == environ.get(size)
            starter = f"{socket.gethostname()} {parent()}" if one_node else ""
            return Launch(*ranks, f"mpi {job or ''} {starter}".rstrip(), unique=one_node and job is not None)
    return None


def _numbers(environ: Environment, rank: str, size: str) -> tuple[int, int] | None:
    texts = environ.get(rank, ""), environ.get(size, "")
    if not all(text.isascii() and text.isdecimal() for text in texts):
        return None
    own, world = int(texts[0]), int(texts[1])
    return (own, world) if own < world else None


def _address(environ: Environment) -> tuple[str, str]:
    return environ.get("MASTER_ADDR", ""), environ.get("MASTER_PORT", "")

"""Which rank of which launch a process is, by its environment alone."""

from __future__ import annotations

import pytest

from stallscope.profiling.folder.launch import find_launch

TORCHRUN = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "43601",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
    "TORCHELASTIC_ERROR_FILE": "/scratch/torchelastic_a/none_b/attempt_0/1/error.json",
}
SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4", "PMIX_NAMESPACE": "prterun-n1-99@1"}
BY_HAND = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "n1", "MASTER_PORT": "29500"}


def launched(environ, parent=1):
    """The launch that an environment tells, as a child of process ``parent``."""
    return find_launch(environ, lambda: parent)


@pytest.mark.parametrize(
    ("environ", "rank", "world", "unique"),
    [
        (TORCHRUN, 1, 2, True),
        (SLURM, 3, 4, True),
        (OPEN_MPI, 2, 4, False),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 2, 4, True),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, 0, 2, False),
        (BY_HAND, 0, 2, False),
        ({**SLURM, **TORCHRUN}, 1, 2, True),
    ],
    ids=["torchrun", "srun", "mpirun", "mpirun on one node", "mpich", "by hand", "torchrun within srun"],
)
def test_rank_and_world_size(environ, rank, world, unique):
    """Rank and world size of each launcher; whether its name for the start can come again."""
    found = launched(environ)
    assert (found.rank, found.world_size, found.unique) == (rank, world, unique)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "77"},
        {"RANK": "x", "WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "", "WORLD_SIZE": ""},
    ],
    ids=["plain", "torchrun of one", "a batch script before srun", "no number", "outside its world", "empty"],
)
def test_processes_that_are_alone(environ):
    """One process, or variables that do not make sense: no launch."""
    assert launched(environ) is None


def test_ranks_of_one_start_share_a_name_and_no_other_start_has_it():
    """The other rank has the same name; a restart, another start of the same command, another job have others."""
    name = launched(TORCHRUN).job
    other_rank = {
        **TORCHRUN,
        "RANK": "0",
        "TORCHELASTIC_ERROR_FILE": "/scratch/torchelastic_a/none_b/attempt_0/0/error.json",
    }
    assert launched(other_rank).job == name
    restarted = {**TORCHRUN, "TORCHELASTIC_RESTART_COUNT": "1"}
    again = {**TORCHRUN, "TORCHELASTIC_ERROR_FILE": "/scratch/torchelastic_c/none_d/attempt_0/1/error.json"}
    assert name not in {launched(restarted).job, launched(again).job}
    no_files = {**TORCHRUN, "TORCHELASTIC_ERROR_FILE": ""}
    assert launched(no_files, 7).job == launched(no_files, 7).job != launched(no_files, 8).job
    assert (
        launched(SLURM).job
        == launched({**SLURM, "SLURM_PROCID": "0"}).job
        != launched({**SLURM, "SLURM_STEP_ID": "1"}).job
    )


def test_ranks_on_several_nodes_share_a_name():
    """Ranks under different torchruns (one a node) have the same name if the run id is the same, parents aside."""
    two = {**TORCHRUN, "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "job-5"}
    elsewhere = {
        **two,
        "RANK": "3",
        "TORCHELASTIC_ERROR_FILE": "/scratch/torchelastic_z/job-5_q/attempt_0/1/error.json",
    }
    assert launched(two, 5).job == launched(elsewhere, 6).job
    assert launched(two).unique
    assert not launched({**two, "TORCHELASTIC_RUN_ID": "none"}).unique

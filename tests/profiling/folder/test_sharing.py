"""One run folder for all ranks of a launch, agreed on through the file system alone."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

from stallscope.profiling.folder import sharing
from stallscope.profiling.folder.launch import Launch
from stallscope.profiling.folder.sharing import make_run_folder

LAUNCH = Launch(0, 8, "torchrun a", unique=True)


def at_once(calls):
    """What the calls return, all made at the same moment on threads of their own."""
    gate, results = threading.Barrier(len(calls)), [None] * len(calls)

    def one(place, call):
        gate.wait()
        results[place] = call()

    threads = [threading.Thread(target=one, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_run_folders_are_never_shared_by_runs_of_one_process(tmp_path):
    """Eight makers of the same run name at once get eight folders."""
    made = at_once([lambda: make_run_folder(tmp_path, "train")] * 8)
    assert sorted(folder.name for folder in made) == sorted(["train", *(f"train-{n}" for n in range(2, 9))])


def test_all_ranks_get_one_folder(tmp_path):
    """Eight ranks at once get the same folder, the first free one, and claim it each."""
    (tmp_path / "train").mkdir()
    os.utime(tmp_path / "train", (1, 1))  # somebody's, long ago
    ranks = [replace(LAUNCH, rank=rank) for rank in range(8)]
    made = at_once([lambda rank=rank: make_run_folder(tmp_path, "train", rank) for rank in ranks])
    assert {folder.name for folder in made} == {"train-2"}
    assert sorted(path.name for path in made[0].iterdir()) == [f".stallscope.rank{rank}" for rank in range(8)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "train-2"]


def test_two_launches_and_a_single_process_at_once(tmp_path):
    """Each launch has a folder of its own, and so has the process without ranks."""
    other = replace(LAUNCH, job="torchrun b")
    made = at_once(
        [
            lambda rank=rank, of=of: make_run_folder(tmp_path, "train", replace(of, rank=rank))
            for rank in range(3)
            for of in (LAUNCH, other)
        ]
        + [lambda: make_run_folder(tmp_path, "train")]
    )
    assert len({*made[0:6:2]}) == len({*made[1:6:2]}) == 1
    assert len({made[0], made[1], made[6]}) == 3


def test_the_same_command_again_never_mixes(tmp_path):
    """Where a launch's name comes again, the second start has a folder of its own: its ranks are taken in the first."""
    by_hand = Launch(0, 2, "by hand n1 29500", unique=False)
    first = [make_run_folder(tmp_path, "train", replace(by_hand, rank=rank)) for rank in (0, 1)]
    second = [make_run_folder(tmp_path, "train", replace(by_hand, rank=rank)) for rank in (1, 0)]
    assert [folder.name for folder in first + second] == ["train", "train", "train-2", "train-2"]


def test_an_old_claim_of_a_name_that_may_come_again_is_not_joined(tmp_path):
    """A start of which rank 1 wrote nothing leaves its place free; next day's rank 1 does not take it."""
    by_hand = Launch(0, 2, "by hand n1 29500", unique=False)
    folder = make_run_folder(tmp_path, "train", by_hand)
    os.utime(folder / ".stallscope.rank0", (time.time() - 86400,) * 2)
    assert make_run_folder(tmp_path, "train", replace(by_hand, rank=1)).name == "train-2"
    by_name = replace(by_hand, unique=True)
    assert make_run_folder(tmp_path, "train", replace(by_name, rank=1)).name == "train"


def test_a_folder_without_a_claim_is_given_time_to_get_one(tmp_path):
    """A rank that finds the folder before the claim of its maker waits for it; nobody's young folder is left alone."""
    folder = tmp_path / "train"
    folder.mkdir()
    late = threading.Timer(0.3, lambda: sharing._claim(folder, replace(LAUNCH, rank=5)))
    late.start()
    assert make_run_folder(tmp_path, "train", LAUNCH) == folder
    late.join()


def test_nobodys_young_folder_is_not_joined(tmp_path, monkeypatch):
    """An empty folder made just now by somebody else: no claim comes, and the rank goes on to the next name."""
    monkeypatch.setattr(sharing, "CLAIM_WAIT", 0.2)
    (tmp_path / "train").mkdir()
    assert make_run_folder(tmp_path, "train", LAUNCH).name == "train-2"


def test_an_older_run_of_one_process_is_not_joined(tmp_path):
    """A folder with files but without a claim is passed over at once."""
    folder = make_run_folder(tmp_path, "train")
    (folder / "stallscope.json").write_text("{}")
    assert make_run_folder(tmp_path, "train", LAUNCH).name == "train-2"

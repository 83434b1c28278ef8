"""Many processes: DDP over gloo, two ranks on this machine, under torchrun."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from stallscope import api
from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.runs.runs import find_runs
from tests.scripts.processes import python, write
from tests.scripts.recorded import steps_in

pytestmark = pytest.mark.slow

TORCHRUN = ("-W", "ignore", "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts")
STARTS_ONCE, STARTS_AGAIN = (*TORCHRUN, "0"), (*TORCHRUN, "1")
PROFILE = ("-m", "stallscope", "profile", "--steps", "8")

DDP = """
    import hashlib, pathlib, random, sys
    import numpy, torch
    import torch.distributed as dist
    from torch import nn
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    random.seed(rank); numpy.random.seed(rank); torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    model = nn.parallel.DistributedDataParallel(layers)
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.manual_seed(rank)
    y = torch.randint(0, 3, (16,))
    losses = []
    for step in range(int(sys.argv[1])):
        x = torch.randn(16, 16) + rank + random.random() + numpy.random.rand()
        opt.zero_grad()
        loss = nn.functional.cross_entropy(model(x.float()), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    def digest(*values):
        return hashlib.sha256(b"".join(numpy.ascontiguousarray(v).tobytes() for v in values)).hexdigest()[:16]
    weights = [each.detach().numpy() for each in model.state_dict().values()]
    state = digest(torch.get_rng_state().numpy()), numpy.random.rand().hex(), random.random().hex()
    told = len(losses), digest(numpy.array(losses)), losses[-1].hex(), digest(*weights), *state
    print(f"rank {rank} {told}\\n", end="", flush=True)
    here = pathlib.Path(__file__)
    here.with_name(f"rank{rank}.weights").write_bytes(b"".join(each.tobytes() for each in weights))
    dist.barrier()
    dist.destroy_process_group()
"""


GLOO_CRASHES = "terminate called without an active exception"  # at the end, now and then, without us too


def torchrun(*command, cwd):
    """Run two ranks; once more where gloo has crashed at the end."""
    for _ in range(3):
        shutil.rmtree(cwd / "runs", ignore_errors=True)
        ended = python(*STARTS_ONCE, *command, cwd=cwd)
        if GLOO_CRASHES not in ended.err:
            break
    return ended


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training of 800 steps that two ranks finished, and how it ended."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder, DDP)
    return folder, torchrun(*PROFILE, "train.py", "800", cwd=folder)


def manifests(run) -> list[Manifest]:
    """The manifests of a run folder, that of rank 0 first."""
    paths = sorted(run.glob("stallscope*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Manifest) for path in paths]


def trace(path) -> dict:
    """A whole trace file, compressed by now or not."""
    text = path.read_bytes()
    return json.loads(gzip.decompress(text) if path.suffix == ".gz" else text)


def test_all_ranks_write_into_one_folder(trained):
    """One folder; one manifest a rank, complete, each with all windows of its own; nothing but claims is hidden."""
    folder, ended = trained
    assert ended.code == 0, ended.err
    assert [path.name for path in (folder / "runs").iterdir()] == ["train"]
    run = folder / "runs" / "train"
    assert sorted(path.name for path in run.glob("*.json")) == ["stallscope.json", "stallscope.rank1.json"]
    first, second = manifests(run)
    assert [(each.rank, each.world_size, each.complete, each.steps.count) for each in (first, second)] == [
        (0, 2, True, 800),
        (1, 2, True, 800),
    ]
    assert {each.trace for found in (first, second) for each in found.windows if each.trace} == {
        path.name for path in run.glob("*.gz")
    }
    told = {path.name for path in run.glob(".stallscope.steps.*")}
    full = next(each.first_step for each in first.windows if each.round == "full")
    assert f".stallscope.steps.{full}" in told
    assert {path.name for path in run.glob(".*")} == {f".stallscope.rank{n}" for n in (0, 1)} | told


def test_ranks_record_the_same_steps(trained):
    """Windows begin and end at the same steps on both ranks, those too that one process alone would end by time."""
    folder, _ = trained
    kinds = [
        [(each.kind, each.round, each.first_step, each.steps) for each in found.windows]
        for found in manifests(folder / "runs" / "train")
    ]
    assert ("timing", "full") in [each[:2] for each in kinds[0]]
    assert kinds[0] == kinds[1]


def test_traces_say_their_rank(trained):
    """Each trace has torch's ``distributedInfo`` with its rank, in a file of the worker that its manifest names."""
    folder, _ = trained
    (run,) = find_runs(folder / "runs")
    assert [worker.manifest.rank for worker in sorted(run.workers, key=lambda each: each.name[-1])] == [0, 1]
    for worker in run.workers:
        assert worker.name.endswith(f".rank{worker.manifest.rank}")
        for span in worker.spans:
            told = trace(span.path)["distributedInfo"]
            assert (told["backend"], told["rank"], told["world_size"]) == ("gloo", worker.manifest.rank, 2)
            assert told["pg_config"][0]["ranks"] == [0, 1]


def test_rank_0_speaks_for_all(trained):
    """The summary is printed once, for rank 0; the script's own words are all there is on stdout."""
    _, ended = trained
    assert ended.err.count("Stallscope summary") == 1
    assert ended.err.count("800 steps; recorded in") == 1
    said, _, summary = ended.err.partition("Stallscope summary")
    assert "rank 1" not in said
    assert "this is rank 0; of the others (rank 1) see one with --rank 1" in " ".join(summary.split())
    assert sorted(line[:6] for line in ended.out.split("\n") if line) == ["rank 0", "rank 1"]


def test_summary_of_a_folder_of_ranks(trained):
    """Rank 0 by default, with a row for each rank; ``--rank 1`` on demand; a rank that is not there is one sentence."""
    folder, _ = trained
    run = folder / "runs" / "train"
    shown = [api.summarize(run), api.summarize(run, rank=1)]
    assert [each.trace.rank for each in shown] == [0, 1]
    for each in shown:
        assert [(row.rank, row.steps, row.complete) for row in each.ranks] == [(0, 800, True), (1, 800, True)]
    windows = [window for window in manifests(run)[1].windows if (window.kind, window.round) == ("unprofiled", "full")]
    assert shown[0].ranks[1].unprofiled_us == windows[0].duration_ns / windows[0].steps / 1000
    with pytest.raises(BadInput, match="no rank 7 here; its ranks: 0, 1"):
        api.summarize(run, rank=7)


@pytest.mark.full
def test_output_is_as_without_us(trained):
    """All losses, weights, random states and files of both ranks, and the exit code, are what torchrun alone gives."""
    folder, ended = trained
    alone = folder / "alone"
    alone.mkdir()
    write(alone, DDP)
    plain = torchrun("train.py", "800", cwd=alone)
    for _ in range(3):  # gloo itself crashes at times when a script ends, without us as well
        if plain.code == 0:
            break
        plain = torchrun("train.py", "800", cwd=alone)
    assert (plain.code, sorted(plain.out.split("\n"))) == (ended.code, sorted(ended.out.split("\n")))
    assert ended.out.count("(800, ") == 2
    ours = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "show.py"}
    assert sorted(ours) == ["rank0.weights", "rank1.weights", "train.py"]
    assert {path.name: path.read_bytes() for path in alone.iterdir()} == ours


FAILS_IN_A_GROUP = """
    import os, sys, torch
    import torch.distributed as dist
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 2))
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(10**9):
        if rank == 1 and step == 40:
            raise ValueError("rank 1 fails")
        opt.zero_grad()
        model(torch.randn(3, 4)).sum().backward()  # where rank 0 waits for rank 1
        opt.step()
"""


@pytest.mark.full
def test_a_failing_rank_that_another_waits_for_in_a_collective(tmp_path):
    """Rank 0 is inside an all-reduce when rank 1 fails: both end, badly, and what both had closed can be summarized."""
    write(tmp_path, FAILS_IN_A_GROUP)
    ended = python(*STARTS_ONCE, *PROFILE, "--no-summary", "train.py", cwd=tmp_path)
    assert ended.code == 1
    assert "ValueError: rank 1 fails" in ended.err
    assert "stallscope: rank 1: the script ended with exit code 1" in ended.err
    run = tmp_path / "runs" / "train"
    found = manifests(run)
    assert [(each.rank, each.world_size) for each in found] == [(0, 2), (1, 2)]
    assert found[1].exit_code == 1
    assert found[0].exit_code != 0
    for each in found:
        assert {(window.kind, window.round) for window in each.windows} >= {
            ("unprofiled", "short"),
            ("timing", "short"),
        }
    for rank in ("0", "1"):
        shown = python("-m", "stallscope", "summary", "--rank", rank, run, cwd=tmp_path)
        assert (shown.code, shown.err) == (0, "")
        assert "Steps       5 steps" in shown.out


@pytest.mark.full
def test_the_distributed_view_of_tensorboard_takes_them(trained):
    """torch-tb-profiler, on the folder as it is: both ranks as workers, and in its Distributed view, step by step."""
    folder, _ = trained
    text = """
        import json, sys
        from torch_tb_profiler import io
        from torch_tb_profiler.profiler.loader import RunLoader
        if __name__ == "__main__":
            run = RunLoader("train", sys.argv[1], io.Cache()).load()
            views = [view.display_name for view in run.views]
            steps = [list(run.get_profile("All", span).steps_to_overlap["data"]) for span in run.get_spans("All")]
            workers = list(run.get_profile("All", run.get_spans("All")[0]).steps_to_overlap["data"]["all"])
            print(json.dumps([views, run.get_workers("Distributed"), steps, workers]))
    """
    shown = python("-W", "ignore", write(folder, text, "show.py"), folder / "runs" / "train", cwd=folder)
    views, workers, steps, compared = json.loads(shown.out)
    assert "Distributed" in views
    assert workers == ["All"]
    assert compared == sorted(each.worker for each in manifests(folder / "runs" / "train"))
    first = manifests(folder / "runs" / "train")[0]
    timing = [each for each in first.windows if each.kind == "timing"]
    for each in timing:
        assert ["all", *map(str, range(each.first_step, each.first_step + each.steps))] in steps


BLOCK = """
    import os, stallscope, torch
    model = torch.nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    with stallscope.profile("runs/train") as p:
        for _ in range(40):
            model(torch.randn(3, 4)).sum().backward()
            opt.step()
    print(f"rank {os.environ['RANK']}: {p.summary.trace.rank} {p.summary.steps.count} {p.folder}\\n", end="")
"""


@pytest.mark.full
def test_a_block_under_several_ranks(tmp_path):
    """Each rank's ``p.summary`` is its own, of one folder for both."""
    write(tmp_path, BLOCK)
    ended = torchrun("train.py", cwd=tmp_path)
    assert ended.code == 0, ended.err
    folder = Path("runs", "train")
    assert sorted(ended.out.splitlines()) == [f"rank 0: 0 5 {folder}", f"rank 1: 1 5 {folder}"]


FAILS = """
    import os, torch
    rank, first_try = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    model = torch.nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(10**9 if first_try else 30):
        model(torch.randn(3, 4)).sum().backward()
        opt.step()
        if first_try and rank == "1" and step == 40:
            raise ValueError("rank 1 fails")
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """A training without a process group whose rank 1 fails once; torchrun ends rank 0 and starts both anew."""
    folder = tmp_path_factory.mktemp("failed")
    write(folder, FAILS)
    return folder, python(*STARTS_AGAIN, *PROFILE, "--no-summary", "train.py", cwd=folder)


@pytest.mark.full
def test_a_failing_rank_does_not_cost_the_others_their_traces(failed):
    """Of the first start both ranks' closed windows are readable; rank 0 was ended by torchrun's SIGTERM."""
    folder, ended = failed
    assert ended.code == 0, ended.err
    found = manifests(folder / "runs" / "train")
    assert [(each.rank, each.exit_code, each.complete) for each in found] == [(0, None, False), (1, 1, True)]
    for each in found:
        (short,) = [window for window in each.windows if (window.kind, window.round) == ("timing", "short")]
        assert len(steps_in(trace(folder / "runs" / "train" / short.trace)["traceEvents"])) == 5
    assert "stallscope: rank 1: the script ended with exit code 1" in ended.err


@pytest.mark.full
def test_restarted_workers_never_mix(failed):
    """The second start of the same torchrun has a folder of its own, with both ranks' 30 steps."""
    folder, _ = failed
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["train", "train-2"]
    found = manifests(folder / "runs" / "train-2")
    assert [(each.rank, each.steps.count, each.exit_code) for each in found] == [(0, 30, 0), (1, 30, 0)]


@pytest.mark.full
def test_traces_without_a_process_group_say_their_rank(failed):
    """Where the ranks never talk to each other, the launcher's word is in ``distributedInfo``."""
    folder, _ = failed
    for each in manifests(folder / "runs" / "train-2"):
        path = next(window.trace for window in each.windows if window.kind == "timing")
        told = trace(folder / "runs" / "train-2" / path)["distributedInfo"]
        assert told == {"backend": "unknown", "rank": each.rank, "world_size": 2}

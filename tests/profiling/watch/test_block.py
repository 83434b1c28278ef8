"""``with stallscope.profile(...)`` around a loop: in a script, in something like a notebook."""

from __future__ import annotations

import json
import textwrap

import pytest

from stallscope.profiling.words.sentences import NO_STEPS
from tests.scripts.forked import profiled, python
from tests.scripts.processes import write
from tests.scripts.recorded import manifest, steps_in, timing_trace, window

pytestmark = pytest.mark.slow

HEADER = """
    import sys, torch, stallscope
    from torch import nn
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(8, 4)
    def one():
        opt.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        opt.step()
        return loss.item()
"""


def script(folder, body, name="train.py"):
    """A script that defines ``one()``, an iteration, and then does what ``body`` says."""
    return write(folder, textwrap.dedent(HEADER) + textwrap.dedent(body), name)


def test_a_block(tmp_path):
    """Steps are found, windows recorded, the summary is the contract's; a second block has a folder of its own."""
    body = """
        import json
        from stallscope.profiling.run import session
        with stallscope.profile("runs/x", steps=8, warmup=1, skip=3) as p:
            inside = repr(p)
            for _ in range(2000): one()
        with stallscope.profile("runs/x", steps=8) as q:
            for _ in range(40): one()
        hooks = torch.nn.modules.module
        left = [len(hooks._global_forward_hooks), len(hooks._global_forward_pre_hooks), session.active() is None]
        found = p.summary
        print(json.dumps([inside, str(p.folder), found.steps.count, found.schema, repr(p), str(q.folder), left]))
    """
    ended = python(script(tmp_path, body), cwd=tmp_path)
    assert ended.code == 0, ended.err
    inside, first, steps, schema, shown, second, left = json.loads(ended.out)
    assert inside == "<stallscope.profile: recording>"
    assert (first.replace("\\", "/"), second.replace("\\", "/")) == ("runs/x", "runs/x-2")
    assert (steps, schema) == (8, "stallscope.summary/2")
    assert shown == f"<stallscope.profile: {first}: 8 steps, cpu>"
    assert left == [0, 0, True]
    found = manifest(tmp_path / "runs" / "x")
    assert (found.steps.count, found.steps.source, found.complete, found.exit_code) == (2000, "optimizer", True, None)
    assert window(found, "timing", "short").warmup_steps == 1
    assert window(found, "unprofiled", "short").first_step == 3
    assert found.command == ["train.py"] or found.command[0].endswith("train.py")


def test_steps_marked_by_the_program(tmp_path):
    """Two iterations to each ``p.step()``: half as many steps, each with two optimizer steps."""
    body = """
        with stallscope.profile("runs/x", steps=6) as p:
            for _ in range(1500):
                one(); one()
                p.step()
    """
    ended = python(script(tmp_path, body), cwd=tmp_path)
    assert ended.code == 0, ended.err
    found = manifest(tmp_path / "runs" / "x")
    assert (found.steps.count, found.steps.source, found.steps.optimizer_steps) == (1500, "marked", 3000)
    assert not window(found, "unprofiled", "full").forward_hooks
    trace = timing_trace(tmp_path / "runs" / "x")
    steps = steps_in(trace)
    assert len(steps) == 6
    for step in steps:
        inside = [e for e in trace if e.get("ph") == "X" and step["ts"] <= e["ts"] < step["ts"] + step["dur"]]
        assert [e["name"] for e in inside].count("Optimizer.step#SGD.step") == 2


def test_what_a_notebook_shows(tmp_path):
    """HTML and Markdown hold the report; nothing in it is markup, though the script and a range are called so."""
    body = """
        import json
        with stallscope.profile("runs/x") as p:
            for _ in range(40):
                with torch.profiler.record_function("<script>alert(1)</script>"):
                    one()
        print(json.dumps([p._repr_html_(), p._repr_markdown_()]))
    """
    ended = python(script(tmp_path, body), cwd=tmp_path)
    assert ended.code == 0, ended.err
    html, markdown = json.loads(ended.out)
    assert html.startswith("<pre")
    assert "Stallscope summary" in html
    assert "<script" not in html
    assert html.count("<") == 2  # the pre element
    assert "**Steps**" in markdown
    assert "<script" not in markdown


def test_misuse_and_exceptions(tmp_path):
    """An exception passes through as it is; a nested block, a second use, a summary asked too early, bad numbers."""
    body = """
        from stallscope.traces.model.errors import StallscopeError
        def refused(call):
            try: call()
            except StallscopeError as error: print(type(error).__name__, error)
        error = ValueError("mine")
        try:
            with stallscope.profile("runs/x") as p:
                refused(lambda: p.summary)
                refused(lambda: stallscope.profile("runs/y").__enter__())
                for i in range(60):
                    one()
                    if i == 50: raise error
        except ValueError as caught:
            print(caught is error, caught.__context__)
        print(p.summary.steps.count)
        refused(lambda: p.__enter__())
        refused(lambda: stallscope.profile("runs/y", steps=0))
        refused(lambda: stallscope.profile("runs/y", plan="thorough"))
        open("file", "w").close()
        refused(lambda: stallscope.profile("file/y"))
        with stallscope.profile("runs/z") as nothing:
            pass
        print(nothing.summary, nothing.folder, repr(nothing))
    """
    ended = python(script(tmp_path, body), cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "StallscopeError the block has not ended: ask for the summary after it",
        "StallscopeError stallscope.profile(...) is inside another one: one block is recorded at a time",
        "True None",
        "5",
        "StallscopeError this recording is over; call stallscope.profile(...) again for another block",
        "BadInput steps must be 1 or more, warmup and skip 0 or more",
        "BadInput plan must be one of quick, standard, deep",
        "BadInput --logdir file: is a file; name a folder",
        f"None None <stallscope.profile: nothing recorded: {NO_STEPS}>",
    ]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["x"]
    assert manifest(tmp_path / "runs" / "x").findings[0].text == "the recorded block ended with ValueError"


def test_under_stallscope_profile_it_gives_way(tmp_path):
    """The outer recording goes on; the block runs, says why it is not recorded apart, and has no summary."""
    body = """
        with stallscope.profile("runs/x") as p:
            for _ in range(40):
                one()
                p.step()
        print(p.summary, p.folder)
    """
    script(tmp_path, body)
    ended = profiled("train.py", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "None None\n"), ended.err
    assert "`stallscope profile` records all of this program already" in ended.err
    assert manifest(tmp_path / "runs" / "train").steps.count == 40
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["train"]


def test_a_recording_that_fails_does_not_stop_the_program(tmp_path):
    """A folder that cannot be made, and a bug of ours in the hooks: the loop ends as it would, and it is said."""
    body = """
        from stallscope.profiling.watch import events
        open("file", "w").close()
        with stallscope.profile("file2/x") as p:
            open("file2", "w").close()
            for _ in range(60): last = one()
        print(p.folder, p.messages)
        events.Events._root_called = lambda self, thread, module: 1 / 0
        with stallscope.profile("runs/x") as p:
            for _ in range(60): last = one()
        print(p.summary, p.messages)
    """
    ended = python(script(tmp_path, body), cwd=tmp_path)
    assert ended.code == 0, ended.err
    first, second = ended.out.splitlines()
    assert first.startswith("None (")
    assert "no run folder could be made" in first
    assert second.startswith("None (")
    assert "recording stopped after a failure of ours (ZeroDivisionError" in second


def test_a_block_of_a_program_that_has_closed_stderr(tmp_path):
    """What there is to say is kept in ``messages``; no exception reaches the program."""
    body = """
        with stallscope.profile("runs/x") as p:
            sys.stderr.close()
            for _ in range(5): one()
        print(p.messages)
    """
    ended = python(script(tmp_path, body), cwd=tmp_path)
    assert ended.code == 0
    assert "the script ran 5 steps, too short for a recording" in ended.out


def test_compiled_code_is_not_compiled_again_by_a_block(tmp_path):
    """A model compiled before two blocks, used inside and after them: as many graphs as without us, and no warning."""
    body = """
        import contextlib, torch._dynamo
        from torch._dynamo.utils import counters
        compiles = []
        def backend(graph, inputs):
            compiles.append(1)
            return graph
        net = torch.compile(model, backend=backend, fullgraph=True)
        def step():
            opt.zero_grad(); net(x).sum().backward(); opt.step()
        for _ in range(3): step()
        for name in ("a", "b"):
            with stallscope.profile(name) if sys.argv[1] == "ours" else contextlib.nullcontext():
                for _ in range(60): step()
            for _ in range(3): step()
        other = torch.compile(nn.ReLU(), backend=backend)
        other(x)
        print(len(compiles), counters["stats"]["unique_graphs"])
    """
    path = script(tmp_path, body)
    plain = python("-W", "error", path, "plain", cwd=tmp_path)
    ours = python("-W", "error", path, "ours", cwd=tmp_path)
    assert plain.code == ours.code == 0, ours.err
    assert ours.out == plain.out

"""What marks must survive, and what must survive marks."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.profiling.marking import run_marked, run_plain

pytestmark = pytest.mark.slow

COMPILED = """
    import contextlib, json, sys, warnings
    import torch
    from torch import nn
    from stallscope.profiling.mark.marks import Marks

    marked, backend = sys.argv[1] == "marked", "aot_eager"
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    windows = []

    @contextlib.contextmanager
    def window():
        marks = Marks(torch)
        windows.append(marks)
        if marked:
            marks.install()
        yield
        marks.remove()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)
        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    class Breaks(Net):
        def forward(self, x):
            y = self.first(x)
            return self.second(y) if y.sum().item() < 1e9 else y

    whole = torch.compile(Net(), backend=backend, fullgraph=True)
    broken = torch.compile(Breaks(), backend=backend)
    inplace = Net()
    inplace.compile(backend=backend)
    parameters = [*whole.parameters(), *broken.parameters(), *inplace.parameters()]
    opt = torch.optim.SGD(parameters, lr=0.1)
    opt_step = torch.compile(opt.step, backend=backend)

    @torch.compile(backend=backend)
    def loss_of(x):
        return whole(x).sum() + broken(x).sum() + inplace(x).sum()

    results = []
    def train(size):
        for _ in range(2):
            x = torch.randn(size, 4)
            opt.zero_grad()
            loss = loss_of(x)
            loss.backward()
            opt_step()
            out = broken(x)
            results.append((loss.item(), float(out[out > 0].sum())))

    with window():  # nothing has been called yet
        train(8)
    train(8)
    with window():
        train(8)
    with window():  # another size: all is compiled again
        train(5)
    train(5)
    from torch._dynamo.utils import counters
    facts = {
        "graphs": counters["stats"]["unique_graphs"],
        "frames": dict(counters["frames"]),
        "breaks": sum(counters["graph_break"].values()),
        "results": results,
        "weights": [each.sum().item() for each in parameters],
        "random": torch.rand(1).item(),
    }
    lines = [[(each.kind, each.frames[0].line) for each in marks.call_sites] for marks in windows]
    print(json.dumps([facts, lines, [each.text for marks in windows for each in marks.notes]]))
"""


def compiled(folder, how):
    """Run the script above in a process of its own: dynamo counts per process."""
    path = folder / "compiled.py"
    path.write_text(textwrap.dedent(COMPILED).lstrip("\n"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path), how],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return json.loads(done.stdout)


@pytest.mark.full
def test_compiled_code_is_compiled_as_often(tmp_path):
    """Compiled whole, broken, in place, as a step: as many graphs and breaks, the same bits; the loop's lines found."""
    plain, _, _ = compiled(tmp_path, "plain")
    marked, lines, notes = compiled(tmp_path, "marked")
    assert marked == plain
    assert (plain["graphs"] > 5, notes, len(lines)) == (True, [], 3)
    for found in lines:
        assert [each for each in found if each[1] == 53] == [["item", 53], ["index", 53], ["__float__", 53]]
        assert ["backward", 50] in found


def test_a_first_compilation_inside_a_window(tmp_path):
    """What a script compiles while it is marked compiles in one graph, in full, and stays compiled afterwards.

    Lines outside of it are named; it is named by the function that was compiled, marked as such, and its caller.
    """
    path = tmp_path / "inside.py"
    path.write_text(
        textwrap.dedent("""
        import sys, torch
        from stallscope.profiling.mark.marks import Marks
        from torch import nn
        marks = Marks(torch)
        assert "torch._dynamo.eval_frame" not in sys.modules
        marks.install()
        value = torch.ones(2).sum().item()
        class Net(nn.Module):
            def forward(self, x):
                return torch.relu(x * 2)
        graphs = []
        net = torch.compile(Net(), backend=lambda graph, _: graphs.append(1) or graph, fullgraph=True)
        first = net(torch.ones(1, 2)).sum().item()
        marks.remove()
        second = net(torch.ones(1, 2)).sum().item()
        print(first == second, len(graphs), [each.frames[0].line for each in marks.call_sites if each.exact],
              [[frame.line for frame in each.frames] for each in marks.call_sites if not each.exact])
    """).lstrip("\n")
    )
    done = subprocess.run([sys.executable, "-Wignore", path], capture_output=True, text=True, timeout=240, check=False)
    assert (done.stdout, done.stderr) == ("True 1 [7, 13, 13] [[9, 13]]\n", "")


def test_a_failure_of_ours_is_said_once_and_reaches_nobody(tmp_path, monkeypatch):
    """The table of sites breaks at the third call: the script computes on, two lines are known, one note."""
    from stallscope.profiling.mark.callsites import CallSites

    index_of_line = CallSites.index_of_line

    def breaking(self, kind, frame, *, waits):
        if len(self.table) == 2:
            raise RuntimeError("broken")
        return index_of_line(self, kind, frame, waits=waits)

    monkeypatch.setattr(CallSites, "index_of_line", breaking)
    marked = run_marked(tmp_path, "x = torch.ones(1)\nx.item()\nx.item()\nx.item()\nresult = x.item()")
    assert (marked.lines(), marked.names["result"]) == ([2, 3], 1.0)
    assert [(each.name, each.text) for each in marked.marks.notes] == [
        ("marks_failed", "call sites and modules were not marked to the end: RuntimeError: broken")
    ]


def test_a_user_hook_that_raises_is_the_users(tmp_path):
    """A forward hook of the script's raises: its error arrives, and the next call is a root again."""
    before = """
        from torch import nn
        net = nn.Sequential(nn.ReLU())
        def hook(*args):
            raise ZeroDivisionError("mine")
        handle = net[0].register_forward_hook(hook)
        x = torch.ones(2)
    """
    text = """
        try:
            net(x)
        except ZeroDivisionError as error:
            message = str(error)
        handle.remove()
        net(x)
    """
    marked = run_marked(tmp_path, text, before=before)
    assert (marked.names["message"], marked.marks.notes) == ("mine", [])
    assert [marked.chain(each) for each in marked.of("forward")] == [[2], [6]]


def test_a_tensor_that_does_not_answer_is_passed_over(tmp_path):
    """A subclass whose data type cannot be asked for is indexed with: that call is not marked, the next one is."""
    before = """
        class Odd(torch.Tensor):
            @property
            def dtype(self):
                raise RuntimeError("no answer")
        x, index = torch.arange(3.0), torch.tensor([0, 2]).as_subclass(Odd)
    """
    marked = run_marked(tmp_path, "kept = x[index]\ntotal = kept.sum().item()", before=before)
    assert (marked.names["total"], marked.lines(), marked.marks.notes) == (2.0, [2], [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_marks_nothing():
    """A child forked inside a window computes, adds nothing to its copy of the tables, and the parent goes on."""
    text = """
        import os
        torch.ones(1).item()
        child = os.fork()
        if child == 0:
            before = len(marks.call_sites)
            torch.ones(1).item()
            os._exit(len(marks.call_sites) - before)
        status = os.waitpid(child, 0)[1]
        torch.ones(1).item()
    """
    import torch

    from stallscope.profiling.mark.marks import Marks

    marks = Marks(torch)
    names = {"torch": torch, "marks": marks, "__name__": "__main__"}
    marks.install()
    try:
        exec(textwrap.dedent(text), names)  # noqa: S102 - a script of the test's
    finally:
        marks.remove()
    assert (names["status"], [each.frames[0].line for each in marks.call_sites]) == (0, [3, 10])


def test_a_window_that_ends_inside_calls(tmp_path):
    """Marks are removed within a module, a backward pass and a mode of the user's: nothing of ours is left."""
    before = """
        from torch import nn
        from torch.overrides import TorchFunctionMode
        class Removes(nn.Module):
            def forward(self, x):
                current.remove()
                return x * 2
        class Sees(TorchFunctionMode):
            def __torch_function__(self, function, types, args=(), kwargs=None):
                current.remove()
                return function(*args, **(kwargs or {}))
        from stallscope.profiling.mark.marks import Marks
        net, x = nn.Sequential(Removes()), torch.ones(2, requires_grad=True)
    """
    text = """
        left = []
        def stack():
            return len(torch.overrides._get_current_function_mode_stack())
        current = Marks(torch)
        current.install()
        net(x)
        left.append(stack())
        current = Marks(torch)
        current.install()
        y = (x * 2).sum()
        y.register_hook(lambda grad: current.remove())
        y.backward()
        left.append(stack())
        current = Marks(torch)
        current.install()
        with Sees():
            x.sum().item()
        left.append(stack())
    """
    import torch

    names = run_plain(tmp_path, text, before=before)
    assert names["left"] == [0, 0, 0]
    assert names["x"].grad.tolist() == [2.0, 2.0]
    assert torch.overrides._push_mode.__module__ == "torch.overrides"
    assert torch.overrides._push_mode.__qualname__ == "_push_mode"


def test_a_chain_ends_where_the_script_begins(tmp_path):
    """Under ``stallscope profile`` a site's frames are the script's alone; its hooks and ours are one pair."""
    path = tmp_path / "train.py"
    text = """
        import torch
        from stallscope.profiling.mark.marks import Marks
        def read(loss):
            return loss.item()
        model = torch.nn.Linear(4, 2)
        pair = len(torch.nn.modules.module._global_forward_hooks)
        marks = Marks(torch)
        marks.install()
        read(model(torch.ones(3, 4)).sum())
        print(pair, len(torch.nn.modules.module._global_forward_hooks))
        marks.remove()
        for site in marks.call_sites:
            print(site.kind, [(frame.file == __file__, frame.line, frame.function) for frame in site.frames])
    """
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    argv = [sys.executable, "-m", "stallscope", "profile", "--no-summary", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "1 1",
        "forward [(True, 9, '<module>')]",
        "item [(True, 4, 'read'), (True, 9, '<module>')]",
    ]

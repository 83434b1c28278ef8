"""Module ranges: names, and a stack that stays right whatever happens in a forward."""

import pytest

from tests.profiling.marking import run_marked, run_plain

pytestmark = pytest.mark.slow


def nesting(marked):
    """Our module ranges as (depth, name), in the order in which they began."""
    rows = [row for row in marked.rows if row.get("name", "").startswith("stallscope.module#")]
    rows.sort(key=lambda row: (row["ts"], -row["dur"]))
    ends, found = [], []
    for row in rows:
        while ends and ends[-1] <= row["ts"]:
            ends.pop()
        module = marked.marks.modules[int(row["name"].partition("#")[2])]
        found.append((len(ends), module.name or module.root))
        ends.append(row["ts"] + row["dur"])
    return found


def test_a_module_in_two_places_has_its_first_name(tmp_path):
    """A tied layer is called twice: one row, under its first name, and a note that names the other."""
    before = """
        from torch import nn
        class Tied(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Linear(3, 3)
                self.decoder = nn.Sequential(nn.ReLU(), self.embed)
            def forward(self, x):
                return self.decoder(self.embed(x))
        model = Tied()
    """
    marked = run_marked(tmp_path, "model(torch.ones(2, 3))", before=before)
    assert nesting(marked) == [(0, "Tied"), (1, "embed"), (1, "decoder"), (2, "decoder.0"), (2, "embed")]
    assert [(each.name, each.text) for each in marked.marks.notes] == [
        ("shared_modules", "modules in several places are listed under their first name: decoder.1 is embed")
    ]


def test_recursion_and_roots_of_one_class(tmp_path):
    """A module that calls itself nests in itself; of two models of a class the second is #2; parts are named late."""
    before = """
        from torch import nn
        class Again(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = nn.Linear(2, 2)
            def forward(self, x, times=1):
                return self(self.inner(x), times - 1) if times else x
        first, second = Again(), Again()
    """
    text = """
        first.inner(torch.ones(1, 2))
        first(torch.ones(1, 2), 2)
        second(torch.ones(1, 2), 0)
    """
    marked = run_marked(tmp_path, text, before=before)
    assert nesting(marked) == [
        (0, "inner"),
        *((0, "Again"), (1, "inner"), (1, "Again"), (2, "inner"), (2, "Again")),
        (0, "Again#2"),
    ]
    assert [(each.root, each.name) for each in marked.marks.modules] == [
        ("Again", "inner"),
        ("Again", ""),
        ("Again#2", ""),
    ]


FAILING = """
    from torch import nn
    class Fails(nn.Module):
        def __init__(self, error):
            super().__init__()
            self.error = error
            self.inner = nn.ReLU()
        def forward(self, x):
            self.inner(x)
            raise self.error
    class Net(nn.Module):
        def __init__(self, error):
            super().__init__()
            self.fails = Fails(error)
        def forward(self, x):
            return self.fails(x)
    x = torch.ones(2)
    after = nn.Sequential(nn.ReLU())
    opt = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
"""


@pytest.mark.parametrize("error", ["ValueError", "KeyboardInterrupt"])
def test_forwards_that_raise_leave_the_stack_right(tmp_path, error):
    """Two levels are left by an exception, or by Ctrl-C, which runs no hooks: the next model is a root all the same."""
    text = f"""
        try:
            Net({error}("stop"))(x)
        except {error} as caught:
            message = str(caught)
        after(x)
    """
    marked = run_marked(tmp_path, text, before=FAILING)
    assert marked.names["message"] == "stop"
    assert [(each.root, each.name) for each in marked.marks.modules][-2:] == [("Sequential", ""), ("Sequential", "0")]
    assert [marked.chain(each) for each in marked.of("forward")] == [[2], [5]]


def test_a_forward_called_directly_is_noticed(tmp_path):
    """``model.forward(x)`` on line 2: children keep their full names, and a note says where and what to do instead."""
    before = """
        from torch import nn
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
            def forward(self, x):
                return self.body(x)
        model = Net()
    """
    marked = run_marked(tmp_path, "x = torch.ones(1, 2)\nmodel.forward(x)\nmodel.forward(x)", before=before)
    assert [(each.root, each.name) for each in marked.marks.modules] == [
        ("Net", "body"),
        ("Net", "body.0"),
        ("Net", "body.1"),
    ]
    (note,) = marked.marks.notes
    assert (
        note.name,
        f"Net.forward(…) is called directly at {marked.path}:2: call the module itself" in note.text,
    ) == (
        "direct_forward",
        True,
    )


def test_generators_and_coroutines_are_not_timed(tmp_path):
    """A forward that is a generator returns before its body runs: one range at most, and a note."""
    before = """
        from torch import nn
        class Lazy(nn.Module):
            def forward(self, x):
                yield x * 2
        class Slow(nn.Module):
            async def forward(self, x):
                return x * 3
        lazy, slow = Lazy(), Slow()
    """
    text = """
        import asyncio
        results = [next(lazy(torch.ones(1))).item() for _ in range(3)]
        results.append(asyncio.run(slow(torch.ones(1))).item())
    """
    marked = run_marked(tmp_path, text, before=before)
    assert (marked.names["results"], len(nesting(marked))) == ([2.0, 2.0, 2.0, 3.0], 2)
    assert [each.name for each in marked.marks.notes] == ["lazy_forward"]
    assert "Lazy, Slow cannot be timed" in marked.marks.notes[0].text


CHECKPOINTED = """
    from torch import nn
    from torch.utils.checkpoint import checkpoint
    torch.manual_seed(0)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        def forward(self, x):
            return checkpoint(self.second, torch.relu(self.first(x)), use_reentrant=False)
    model = Net()
    def watch(grad):
        seen.append(grad.sum().item())
    seen = []
"""


def test_recomputed_forwards_and_hooks_in_a_backward_pass(tmp_path):
    """A checkpointed layer runs again in the backward pass under its own name; a hook's ``item`` there is seen."""
    text = """
        out = model(torch.ones(2, 4))
        out.register_hook(watch)
        out.sum().backward()
    """
    plain, marked = run_plain(tmp_path, text, before=CHECKPOINTED), run_marked(tmp_path, text, before=CHECKPOINTED)
    assert [name for _, name in nesting(marked)] == ["Net", "first", "second", "second"]
    assert [(each.kind, marked.chain(each)) for each in marked.of("item")] == [("item", [3])]
    assert marked.names["seen"] == plain["seen"] == [8.0]


def test_replicas_and_other_threads(tmp_path):
    """A model called on three threads at once: each keeps its own stack, and the table holds each module once."""
    before = """
        import threading
        from torch import nn
        model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU()))
        def work():
            for _ in range(20):
                results.append(model(torch.ones(1, 4)).sum().item() is not None)
        results = []
    """
    text = """
        threads = [threading.Thread(target=work) for _ in range(3)]
        for each in threads:
            each.start()
        work()
        for each in threads:
            each.join()
    """
    marked = run_marked(tmp_path, text, before=before)
    assert (len(marked.names["results"]), marked.marks.notes) == (80, [])
    assert sorted(marked.module_names()) == ["", "0", "1", "1.0"]


FORWARDS = """
    from torch import nn
    from torch.utils.checkpoint import checkpoint
    class Base(nn.Module):
        def forward(self, x):
            return torch.relu(x)
    class Derived(Base):
        def forward(self, x):
            return super().forward(x) * 2
    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Base()
        def forward(self, x):
            return self.inner.forward(x)
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return torch.relu(x)
        @staticmethod
        def backward(ctx, gradient):
            return gradient
    x = torch.ones(2, 2, requires_grad=True)
"""


@pytest.mark.parametrize(
    ("text", "direct"),
    [
        ("nn.Linear(2, 2).forward(x)", ["Linear"]),
        ("Base().forward(x)", ["Base"]),
        ("Derived().forward(x)", ["Derived"]),
        ("Calls()(x)", ["Base"]),
        ("nn.CrossEntropyLoss().forward(x, torch.zeros(2, dtype=torch.long))", ["CrossEntropyLoss"]),
        ("nn.Linear(2, 2)(x); Base()(x); Derived()(x); nn.CrossEntropyLoss()(x, torch.zeros(2, dtype=torch.long))", []),
        ("checkpoint(Derived(), x, use_reentrant=False).sum().backward()", []),
        ("Function.apply(x).sum().backward()", []),
        ("nn.TransformerEncoderLayer(2, 1, 4)(x); nn.LSTM(2, 2)(x); nn.MultiheadAttention(2, 1)(x, x, x)", []),
    ],
)
def test_a_forward_that_calls_no_module_is_noticed_too(tmp_path, text, direct):
    """A leaf, a function in a class, one that calls what it inherits: by class; not what ``__call__`` runs."""
    marked = run_marked(tmp_path, text, before=FORWARDS)
    notes = [each.text for each in marked.marks.notes if each.name == "direct_forward"]
    assert [each.partition(".")[0] for each in notes] == direct

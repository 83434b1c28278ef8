"""A script computes, prints, warns and sees the same whether its calls are marked or not."""

import importlib
import warnings
from collections import Counter

import pytest

from tests.profiling.marking import run_marked, run_plain

pytestmark = pytest.mark.slow

HOLDERS = ("torch", "torch.Tensor", "torch._C.TensorBase", "torch.autograd", "torch.cuda", "torch.cuda.Event")


def attributes(torch):
    """The identity of each attribute that could be replaced, of each hook and of each mode."""
    module, optimizer = torch.nn.modules.module, importlib.import_module("torch.optim.optimizer")
    held = {name: eval(name, {"torch": torch}) for name in HOLDERS}  # noqa: S307
    found = {f"{name}.{key}": id(value) for name, holder in held.items() for key, value in vars(holder).items()}
    tables = {
        "pre": module._global_forward_pre_hooks,
        "post": module._global_forward_hooks,
        "always": module._global_forward_hooks_always_called,
        "step pre": optimizer._global_optimizer_pre_hooks,
        "step post": optimizer._global_optimizer_post_hooks,
    }
    found |= {name: tuple(map(id, table)) for name, table in tables.items()}
    return found | {"modes": tuple(map(id, torch.overrides._get_current_function_mode_stack()))}


WORK = """
    model = torch.nn.Linear(2, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(3, 2)).sum().backward()
    opt.step()
    inside = (torch.Tensor.item, torch.Tensor.__getitem__, torch.nonzero, torch.Tensor.backward)
"""


def test_all_is_as_before(tmp_path):
    """After a window every attribute, hook and mode is the very object that was there; methods were so all along."""
    import torch

    run_plain(tmp_path, WORK)  # the first step of an optimizer imports parts of torch
    methods = (torch.Tensor.item, torch.Tensor.__getitem__, torch.nonzero, torch.Tensor.backward)
    before = attributes(torch)
    marked = run_marked(tmp_path, WORK)
    assert attributes(torch) == before
    assert all(found is method for found, method in zip(marked.names["inside"], methods, strict=True))


LOOKED_AT = """
    import copy, inspect, pickle
    signatures = [str(inspect.signature(each)) for each in (torch.save, torch.cuda.synchronize, torch.compile)]
    names = [each.__qualname__ for each in (torch.save, torch.cuda.synchronize, torch.Tensor.backward)]
    copies = [pickle.dumps(each) for each in (torch.nonzero, torch.Tensor.item, torch.save)]
    same = copy.deepcopy(torch.ones(3)).tolist()
    overridable = sorted(map(str, torch.overrides.get_overridable_functions()[torch.Tensor]))

    @torch.jit.script
    def scripted(x):
        found = torch.nonzero(x)
        return found.size(0) + int(x.sum().item()) + int(x[x > 1].size(0))

    traced = torch.jit.trace(lambda x: x[x > 1] * 2, torch.arange(4.0))
    results = (scripted(torch.arange(4.0)), traced(torch.arange(5.0)).tolist(), str(scripted.graph), str(traced.graph))
"""


def test_looking_at_torch_finds_what_was_there(tmp_path):
    """Signatures, names, pickles, copies, overridable functions and scripted graphs are the same inside a window."""
    plain, marked = run_plain(tmp_path, LOOKED_AT), run_marked(tmp_path, LOOKED_AT).names
    for name in ("signatures", "names", "copies", "same", "overridable"):
        assert marked[name] == plain[name]
    assert [str(each) for each in marked["results"]] == [str(each) for each in plain["results"]]


SEES = """
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode
    log = []

    class Sees(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            log.append(("mode", function.__name__, [each.__name__ for each in types]))
            return function(*args, **(kwargs or {}))

    class Dispatches(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            log.append(("dispatch", str(function)))
            return function(*args, **(kwargs or {}))

    class Own(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            log.append(("subclass", function.__name__, function is torch.Tensor.item))
            return super().__torch_function__(function, types, args, kwargs or {})

    def work(x):
        total = (x * 2).sum()
        kept = x[x > 0]
        return total.item(), kept.tolist(), bool(total > 1), torch.unique(x).shape, f"{total}"
"""
CALLS = """
    with Sees():
        work(torch.arange(3.0))
    with Dispatches():
        work(torch.arange(3.0))
    result = work(torch.arange(3.0).as_subclass(Own))
    with Sees(), Dispatches():
        work(torch.arange(3.0).as_subclass(Own))
"""


def test_modes_and_subclasses_see_the_same_calls(tmp_path):
    """A function mode, a dispatch mode and a tensor subclass of the user's log the same calls in the same order."""
    plain, marked = run_plain(tmp_path, CALLS, before=SEES), run_marked(tmp_path, CALLS, before=SEES)
    assert marked.names["log"] == plain["log"]
    assert len(plain["log"]) > 50
    assert (len(marked.of("item")), marked.marks.notes) == (4, [])


def test_user_modes_that_begin_before_and_end_inside(tmp_path):
    """A mode and a default device entered before the window and left in it are gone afterwards; ours goes on."""
    before = SEES + "\n    outer = Sees()\n    outer.__enter__()\n"
    text = """
        torch.ones(1)
        outer.__exit__(None, None, None)
        seen = len(log)
        with torch.device("meta"):
            made = torch.ones(2).device.type
        other = Sees()
        other.__enter__()
        torch.ones(2).sum().item()
    """
    import torch

    marked = run_marked(tmp_path, text, before=before)
    marked.names["other"].__exit__(None, None, None)
    assert (marked.names["made"], marked.names["seen"]) == ("meta", 1)
    assert [entry[1] for entry in marked.names["log"][1:]] == ["ones", "sum", "item"]
    assert [marked.chain(each) for each in marked.of("item")] == [[8]]
    assert torch.overrides._get_current_function_mode_stack() == []


def test_a_default_device_around_the_window_and_inside(tmp_path):
    """A default device that is set before, changed inside and reset after the window does what it says."""
    import torch

    before = "torch.set_default_device('meta')"
    text = """
        first = torch.ones(2).device.type
        torch.set_default_device("cpu")
        second = torch.ones(2).device.type
        value = torch.ones(2).sum().item()
    """
    try:
        marked = run_marked(tmp_path, text, before=before)
    finally:
        torch.set_default_device(None)
    assert [marked.names[each] for each in ("first", "second", "value")] == ["meta", "cpu", 2.0]
    assert (marked.lines("item"), torch.overrides._get_current_function_mode_stack()) == ([4], [])


WARNS = """
    from torch import nn
    loss_of = nn.MSELoss()
    for _ in range(3):
        nn.functional.mse_loss(torch.ones(3), torch.ones(3, 1))
        loss_of(torch.ones(3), torch.ones(3, 1))
        nn.functional.softmax(torch.ones(3))
        torch.tensor(torch.ones(2))
"""


def warned(run, *args):
    """Where each warning was said to come from, in order."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        run(*args)
    return [
        (each.filename, each.lineno, str(each.message))
        for each in caught
        if "target size" in str(each.message)
        or "Implicit" in str(each.message)
        or "copy construct" in str(each.message)
    ]


def test_warnings_name_the_same_lines_and_come_once(tmp_path):
    """Four warnings, each of its own line, each once in three passes: with marks as without."""
    plain, marked = warned(run_plain, tmp_path, WARNS), warned(run_marked, tmp_path, WARNS)
    assert marked == plain
    assert [line for name, line, _ in plain if name.endswith("train.py")] == [4, 6, 7]


TRANSFORMER = """
    from torch import nn
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    batch = torch.randn(2, 5, 8)
    mask = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
"""


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_fast_paths_are_taken(tmp_path):
    """A transformer in evaluation runs torch's fused operator, padding included, and its result is the same bits."""
    text = """
        with torch.inference_mode():
            out = encoder(batch, src_key_padding_mask=mask)
            print(out.sum().item())
    """
    plain, marked = (run(tmp_path, text, before=TRANSFORMER) for run in (run_plain, run_marked))
    assert plain["out"].numpy().tobytes() == marked.names["out"].numpy().tobytes()
    assert sum(row.get("name") == "aten::_transformer_encoder_layer_fwd" for row in marked.rows) == 2
    assert marked.lines("item") == [3]


def test_the_operators_of_a_trace_are_the_same(tmp_path):
    """A training step under marks holds the operators that it holds without, and our ranges besides."""
    before = """
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        opt = torch.optim.Adam(model.parameters())
        x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
    """
    text = """
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        print(loss.item(), x[x > 0].shape, torch.unique(y), f"{loss:.3f}", torch.nonzero(y))
    """

    def operators(rows):
        return Counter(
            row["name"]
            for row in rows
            if row.get("cat") in ("cpu_op", "user_annotation")
            and not row["name"].startswith(("stallscope.", "PyTorch Profiler"))
        )

    plain, marked = (run_marked(tmp_path, text, before=before, marked=each) for each in (False, True))
    assert operators(marked.rows) == operators(plain.rows)
    assert (sum(operators(plain.rows).values()) > 100, plain.ranges.total(), marked.ranges.total()) == (True, 0, 14)

"""Which calls make the host wait, on a CPU run and on one that uses a GPU (its tensors: on the meta device)."""

import pytest

from tests.profiling.marking import run_marked

pytestmark = pytest.mark.slow

PREPARED = """
    import io, math
    import numpy
    from torch import nn
    s, i, x = torch.tensor(2.0), torch.tensor(1), torch.arange(-1.0, 3.0)
    b, sq, two = x > 0, torch.eye(3), torch.ones(2)
    net = nn.Linear(4, 2)
    def grads():
        net(x).sum().backward()
        return net.parameters()
"""

ON_CPU = (  # a line of a script, what is marked there, whether it would wait
    ("s.item()", "item", True),
    ("x.tolist()", "tolist", True),
    ("x.cpu()", "cpu", True),
    ("x.numpy()", "numpy", False),
    ("numpy.asarray(x)", "__array__", False),
    ("x.numpy(force=True)", "numpy", True),
    ("bool(s)", "__bool__", True),
    ("1 if s > 1 else 0", "__bool__", True),
    ("not s", "__bool__", True),
    ("max(s, s + 1)", "__bool__", True),
    ("float(s)", "__float__", True),
    ("math.sqrt(s)", "__float__", True),
    ("'%.1f' % s", "__float__", True),
    ("int(i)", "__int__", True),
    ("[1, 2][i]", "__index__", True),
    ("range(i)", "__index__", True),
    ("complex(s)", "__complex__", True),
    ("f'{s}'", "__format__", True),
    ("'{}'.format(s)", "__format__", True),
    ("repr(x)", "__repr__", True),
    ("str(x)", "__repr__", True),
    ("2.0 in x", "__contains__", True),
    ("torch.nonzero(x)", "nonzero", True),
    ("x.nonzero()", "nonzero", True),
    ("torch.argwhere(x)", "argwhere", True),
    ("torch.where(b)", "where", True),
    ("torch.where(b, x, x)", None, None),
    ("torch.unique(x)", "unique", True),
    ("x.unique(return_counts=True)", "unique", True),
    ("torch.unique_consecutive(x)", "unique_consecutive", True),
    ("torch.masked_select(x, b)", "masked_select", True),
    ("x.masked_fill(b, 0.0)", None, None),
    ("torch.bincount(i.view(1))", "bincount", True),
    ("torch.repeat_interleave(x, i)", "repeat_interleave", True),
    ("x.repeat_interleave(2)", None, None),
    ("torch.repeat_interleave(x, i, output_size=4)", None, None),
    ("torch.equal(x, x)", "equal", True),
    ("x.allclose(x)", "allclose", True),
    ("torch.is_nonzero(s)", "is_nonzero", True),
    ("torch.tensor([s, s])", "tensor", True),
    ("torch.as_tensor((s, 1.0))", "as_tensor", True),
    ("torch.tensor([1.0, 2.0])", None, None),
    ("torch.tensor([1.0, 2.0], device=x.device)", "tensor", True),
    ("torch.tensor([1.0, 2.0], device='cpu')", None, None),
    ("torch.as_tensor(numpy.ones(2), device=x.device)", "as_tensor", True),
    ("x.new_tensor([1.0])", "new_tensor", True),
    ("x.type(torch.FloatTensor)", "type", True),
    ("x.type(torch.float64)", None, None),
    ("x.add(x, alpha=s)", "add", True),
    ("torch.addcmul(x, x, x, value=0.5)", None, None),
    ("torch.randint(3, (1,)).item()", None, None),
    ("[1, 2, 3][torch.randint(2, (1,))]", None, None),
    ("[int(each + 1) for each in torch.randperm(2)]", None, None),
    ("torch.randperm(4)[:2].tolist()", None, None),
    ("bool(torch.rand(1) < 0.5)", "__bool__", True),
    ("int(torch.arange(1, device=x.device))", "__int__", True),
    ("int(torch.arange(1) + i)", "__int__", True),
    ("torch.stack([s, s])", None, None),
    ("nn.functional.one_hot(i)", "one_hot", True),
    ("nn.functional.one_hot(i, 3)", None, None),
    ("torch.zeros(i, 2)", "zeros", True),
    ("torch.zeros((2, 2))", None, None),
    ("x.view(4, i)", "view", True),
    ("x.view(2, 2)", None, None),
    ("x.to(torch.float16)", None, None),
    ("x.to('cpu')", "to", True),
    ("x.to(x.device, torch.float64)", "to", True),
    ("x.to(s)", "to", False),
    ("x.to(x.device, non_blocking=True)", "to", False),
    ("x[b]", "index", True),
    ("x[i]", "__index__", True),
    ("x[[0, 2]]", "index_array", True),
    ("x[numpy.array([0, 2])]", "index_array", True),
    ("x[numpy.array([True, False, True, True])]", "index", True),
    ("x[:i]", "__index__", True),
    ("x[1]", None, None),
    ("x[1:3]", None, None),
    ("x[torch.ones(2, dtype=torch.long)]", None, None),
    ("x[b] = two", "index", True),
    ("x[b] = 0.0", None, None),
    ("x[0] = 1.0", None, None),
    ("sq[b[:3], 0] = 1.0", None, None),
    ("torch.linalg.inv(sq)", "inv", True),
    ("torch.multinomial(sq, 1)", "multinomial", True),
    ("sq.multinomial(3, replacement=True)", None, None),
    ("sq.select(0, i)", "select", True),
    ("torch.save(x, io.BytesIO())", "save", True),
    ("nn.utils.clip_grad_norm_(grads(), 1.0, error_if_nonfinite=True)", "__bool__", True),
    ("nn.utils.clip_grad_norm_(grads(), 1.0)", None, None),
    ("torch.distributions.Normal(s, s, validate_args=True)", "__bool__", True),
    ("assert (x < 9).all()", "__bool__", True),
)


def test_each_call_is_marked_on_its_line(tmp_path):
    """Some 70 lines: what each is marked as, if at all, and whether it would wait for a GPU."""
    marked = run_marked(tmp_path, "\n".join(line for line, _, _ in ON_CPU), before=PREPARED)
    found = {each.frames[0].line: each for each in marked.marks.call_sites if each.kind not in ("forward", "backward")}
    seen = [(found[at].kind, found[at].would_synchronize) if at in found else (None, None) for at in _numbers()]
    assert [(line, *each) for (line, _, _), each in zip(ON_CPU, seen, strict=True)] == list(ON_CPU)
    assert marked.marks.notes == []


def _numbers():
    return range(1, len(ON_CPU) + 1)


ON_GPU = (  # as an expression of g (on the GPU), h (on the host), and what the rule says
    ("torch.Tensor.item", "(g,)", {}, True),
    ("torch.Tensor.item", "(h,)", {}, None),
    ("torch.Tensor.cpu", "(h,)", {}, None),
    ("torch.Tensor.to", "(h, 'meta')", {}, True),
    ("torch.Tensor.to", "(h, torch.device('meta'), torch.float16)", {}, True),
    ("torch.Tensor.to", "(h, g)", {}, True),
    ("torch.Tensor.to", "(h, 'meta')", {"non_blocking": True}, False),
    ("torch.Tensor.to", "(h, 'meta', torch.float16, True)", {}, False),
    ("torch.Tensor.to", "(h, 0)", {}, True),
    ("torch.Tensor.to", "(g, g.device)", {}, None),
    ("torch.Tensor.to", "(g,)", {"device": "cpu"}, True),
    ("torch.Tensor.to", "(g, torch.float16)", {}, None),
    ("torch.Tensor.cuda", "(h,)", {}, True),
    ("torch.Tensor.cuda", "(h, None, True)", {}, False),
    ("torch.Tensor.cuda", "(g,)", {}, None),
    ("torch.Tensor.copy_", "(h, g)", {}, True),
    ("torch.Tensor.copy_", "(g, h, True)", {}, False),
    ("torch.Tensor.copy_", "(g, g)", {}, None),
    ("torch.Tensor.numpy", "(h,)", {}, None),
    ("torch.tensor", "([1.0],)", {"device": "meta"}, True),
    ("torch.as_tensor", "(g,)", {"device": "meta"}, None),
    ("torch.Tensor.new_tensor", "(g, [1.0])", {}, True),
    ("torch.Tensor.new_tensor", "(h, [1.0])", {}, None),
    ("torch.Tensor.type", "(g, 'torch.FloatTensor')", {}, True),
    ("torch.Tensor.type", "(h, torch.FloatTensor)", {}, None),
    ("torch.Tensor.type", "(h, 'torch.cuda.FloatTensor')", {}, True),
    ("torch.Tensor.type_as", "(h, g)", {}, True),
    ("torch.Tensor.add_", "(g, g)", {"alpha": 0.5}, None),
    ("torch.Tensor.__getitem__", "(g, g > 0)", {}, True),
    ("torch.Tensor.__getitem__", "(h, h > 0)", {}, None),
    ("torch.Tensor.__getitem__", "(g, (slice(None), torch.ones(2, dtype=torch.long)))", {}, True),
    ("torch.Tensor.__getitem__", "(g, torch.ones(2, dtype=torch.long, device='meta'))", {}, None),
    ("torch.Tensor.__setitem__", "(g, g > 0, torch.tensor(1.0))", {}, None),
    ("torch.Tensor.__setitem__", "(g, g > 0, g)", {}, True),
)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "waits"), ON_GPU, ids=[f"{name}{args}" for name, args, *_ in ON_GPU]
)
def test_on_a_gpu_the_devices_decide(name, args, kwargs, waits):
    """A copy waits between host and device unless it is non_blocking; a read waits if its tensor is on the device."""
    import torch

    from stallscope.profiling.mark.synchronizing import Devices, calls

    devices = Devices(torch.Tensor, torch.device, frozenset({torch.bool, torch.uint8}), on_gpu=True)
    names = {"torch": torch, "g": torch.ones(3, device="meta"), "h": torch.ones(3)}
    found = calls(torch)[eval(name, names)]  # noqa: S307 - an expression of the test's
    assert found.rule(devices, eval(args, names), kwargs) is waits  # noqa: S307


def test_a_cpu_run_lists_the_moves_of_tensors(tmp_path):
    """``cuda`` waits unless ``non_blocking``, ``to`` likewise; torch's own moves (clipping) are no line's."""
    import torch

    from stallscope.profiling.mark.synchronizing import Devices, calls

    devices = Devices(torch.Tensor, torch.device, frozenset({torch.bool, torch.uint8}), on_gpu=False)
    move = calls(torch)[torch.Tensor.cuda].rule
    assert (move(devices, (torch.ones(1),), {}), move(devices, (torch.ones(1), None, True), {})) == (True, False)
    marked = run_marked(tmp_path, "nn.utils.clip_grad_norm_(grads(), 1.0)\nx.to(x.device)", before=PREPARED)
    assert marked.lines("to") == [2]


def test_a_tensor_of_the_hosts_that_is_moved_is_the_hosts_no_more(tmp_path):
    """``to`` returns the same tensor where there is nothing to move; on a GPU it would be another."""
    text = """
        made = torch.arange(1)
        made.item()
        moved = made.to(x.device)
        moved.item()
        with torch.device("cpu"):
            torch.arange(1).item()
    """
    marked = run_marked(tmp_path, text, before=PREPARED)
    assert marked.lines("item") == [4, 6]


def test_data_loading_and_step_counters_are_not_held_against_a_script(tmp_path):
    """Samplers, data sets and Adam's counters read tensors that lie in host memory on any machine: nothing waits."""
    before = """
        import warnings
        class Items(torch.utils.data.Dataset):
            def __len__(self):
                return 4
            def __getitem__(self, index):
                return torch.tensor(float(index)).item()
        loader = torch.utils.data.DataLoader(Items(), shuffle=True)
        model = torch.nn.Linear(1, 1)
        opt = torch.optim.Adam(model.parameters(), foreach=False)
    """
    text = """
        for batch in loader:
            model(batch.float()[None]).sum().backward()
            opt.step()
    """
    marked = run_marked(tmp_path, text, before=before)
    assert [each.kind for each in marked.marks.call_sites if each.would_synchronize] == []
    assert (1 in marked.lines(), marked.lines("optimizer")) == (True, [3])

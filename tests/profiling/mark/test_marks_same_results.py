"""Losses, weights and the random state are the same bits with and without marks, whatever the training does."""

import pytest

from tests.profiling.marking import run_marked, run_plain

pytestmark = pytest.mark.slow

LOOP = """
    losses = []
    for step in range(3):
        opt.zero_grad()
        loss = loss_of(model, x)
        loss.backward()
        opt.step()
        losses.append(loss.item())
"""
HEADER = """
    from torch import nn
    torch.manual_seed(3)
    x = torch.randn(6, 8)
    loss_of = lambda model, x: model(x).square().mean()
"""
TRAININGS = {  # name → what is different
    "dropout and batch norm": """
        model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(8, 2))
        opt = torch.optim.AdamW(model.parameters(), fused=False)
    """,
    "transformer": """
        model = nn.Sequential(nn.Unflatten(1, (1, 8)), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
        opt = torch.optim.Adam(model.parameters())
    """,
    "recurrent": """
        model = nn.LSTM(8, 4, num_layers=2, dropout=0.5)
        loss_of = lambda model, x: model(x[:, None])[0].square().mean()
        opt = torch.optim.RMSprop(model.parameters())
    """,
    "masks and reads": """
        model = nn.Linear(8, 4)
        def loss_of(model, x):
            out = model(x)
            out = torch.where(out > 0, out, out * 0.1)
            weight = 2.0 if out.sum() > 0 else 0.5
            kept = out[out.abs() > out.abs().mean()]
            out = out.clone()
            out[out < -1] = 0.0
            return weight * kept.square().sum() + out.detach().unique().sum() + float(out.detach().max())
        opt = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    """,
    "closures": """
        model = nn.Linear(8, 2)
        class Stepper:
            inner = torch.optim.LBFGS(model.parameters(), max_iter=4)
            def zero_grad(self):
                self.inner.zero_grad()
            def step(self):
                def closure():
                    self.inner.zero_grad()
                    loss = loss_of(model, x)
                    loss.backward()
                    return loss
                return self.inner.step(closure)
        opt = Stepper()
    """,
    "checkpointing": """
        from torch.utils.checkpoint import checkpoint
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.3))
                self.second = nn.Linear(8, 2)
            def forward(self, x):
                return self.second(checkpoint(self.first, x, use_reentrant=False))
        model = Net()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
    """,
    "tensor subclass": """
        class Own(torch.Tensor):
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None):
                return super().__torch_function__(function, types, args, kwargs or {})
        x = x.as_subclass(Own)
        model = nn.Linear(8, 2)
        opt = torch.optim.Adagrad(model.parameters())
    """,
    "autocast, clipping and a schedule": """
        model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2))
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, patience=0)
        class Stepper:
            zero_grad = staticmethod(sgd.zero_grad)
            def step(self):
                norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5, error_if_nonfinite=True)
                sgd.step()
                schedule.step(norm)
        def loss_of(model, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return model(x).float().square().mean()
        opt = Stepper()
    """,
    "functional transforms": """
        model = nn.Linear(8, 2)
        parameters = dict(model.named_parameters())
        def sample_loss(parameters, sample):
            return torch.func.functional_call(model, parameters, (sample[None],)).square().sum()
        def loss_of(model, x):
            grads = torch.func.vmap(torch.func.grad(sample_loss), in_dims=(None, 0))(parameters, x)
            return model(x).square().mean() + grads["weight"].square().mean().detach()
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
    """,
    "hooks and double backward": """
        model = nn.Linear(8, 2)
        model.register_forward_hook(lambda module, args, out: out * 1.5)
        model.weight.register_hook(lambda grad: grad * 2)
        def loss_of(model, x):
            x = x.detach().requires_grad_()
            (grad,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
            return model(x).square().mean() + grad.square().mean()
        opt = torch.optim.NAdam(model.parameters())
    """,
}


@pytest.mark.parametrize("name", TRAININGS)
def test_training_is_the_same_to_the_bit(tmp_path, name):
    """Three steps: equal losses, weights and next random numbers, and every loss is read on line 7."""
    import textwrap

    before = textwrap.dedent(HEADER) + textwrap.dedent(TRAININGS[name])
    found = []
    for run in (run_plain, run_marked):
        ended = run(tmp_path, LOOP, before=before)
        names = ended if isinstance(ended, dict) else ended.names
        state = {key: value.numpy().tobytes() for key, value in names["model"].state_dict().items()}
        import torch

        found.append((names["losses"], state, torch.get_rng_state().numpy().tobytes()))
    assert found[1] == found[0]
    assert (7 in ended.lines("item"), ended.marks.notes) == (True, [])

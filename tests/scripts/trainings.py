"""Small trainings of every kind, each with all it could disturb in its output: losses, weights, random state, files.

A training is the body of a loop step; ``text(name)`` makes a script of it. It prints every loss to the bit, a digest
of the final weights, the random state of torch, numpy and random, and writes the weights to a file beside it.
"""

from __future__ import annotations

import textwrap

START = """
    import contextlib, hashlib, os, pathlib, random, sys
    import numpy, torch
    from torch import nn
    import torch.nn.functional as F
    random.seed(0); numpy.random.seed(0); torch.manual_seed(0)
    losses = []
    def sgd(module, **options):
        return torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, **options)
    def descend(loss, *optimizers):
        for each in optimizers: each.zero_grad()
        loss.backward()
        for each in optimizers: each.step()
        losses.append(loss.item())
"""

END = """
    def digest(values):
        return hashlib.sha256(b"".join(numpy.ascontiguousarray(v).tobytes() for v in values)).hexdigest()[:16]
    weights = [v.detach().float().numpy() for v in model.state_dict().values()]
    print(len(losses), digest([numpy.array(losses)]), losses[-1].hex(), digest(weights))
    print(digest([torch.get_rng_state().numpy()]), numpy.random.rand().hex(), random.random().hex())
    print(torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype())
    print("to stderr", file=sys.stderr)
    here = pathlib.Path(__file__)
    here.with_suffix(".weights").write_bytes(b"".join(v.tobytes() for v in weights))
    sys.exit(len(here.stem))
"""

BODIES = {
    "mlp": """
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Dropout(0.1), nn.Linear(16, 3))
        opt = sgd(model)
        data = torch.utils.data.TensorDataset(torch.randn(48, 4), torch.randint(0, 3, (48,)))
        loader = torch.utils.data.DataLoader(data, 8, shuffle=True)
        for epoch in range(110):
            model.train()
            for x, y in loader: descend(F.cross_entropy(model(x), y), opt)
            if epoch % 10 == 9:
                model.eval()
                with torch.no_grad(): print(epoch, sum((model(x).argmax(1) == y).sum().item() for x, y in loader))
    """,
    "cnn": """
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True), nn.MaxPool2d(2), nn.Flatten(),
                              nn.Linear(4 * 9, 3))
        opt = sgd(model)
        schedule = torch.optim.lr_scheduler.StepLR(opt, 50, 0.5)
        for _ in range(330):
            descend(F.cross_entropy(model(torch.randn(4, 1, 8, 8)), torch.randint(0, 3, (4,))), opt)
            schedule.step()
    """,
    "transformer": """
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        model = nn.Sequential(nn.Embedding(20, 8), nn.TransformerEncoder(layer, 2), nn.Linear(8, 20))
        opt = torch.optim.AdamW(model.parameters())
        for _ in range(150):
            tokens = torch.randint(0, 20, (2, 6))
            loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
            opt.zero_grad(); loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step(); losses.append(float(loss.detach()))
    """,
    "rnn": """
        model = nn.ModuleDict({"rnn": nn.LSTM(3, 6, batch_first=True), "out": nn.Linear(6, 1)})
        opt = torch.optim.RMSprop(model.parameters())
        state = None
        for _ in range(250):
            seen, state = model["rnn"](torch.randn(2, 5, 3), state)
            state = tuple(each.detach() for each in state)
            descend(model["out"](seen).square().mean(), opt)
    """,
    "gan": """
        maker, judge = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)), nn.Linear(2, 1)
        model = nn.ModuleList([maker, judge])
        makes, judges = sgd(maker), sgd(judge)
        for _ in range(250):
            made = maker(torch.randn(8, 2))
            descend(F.softplus(judge(made.detach())).mean() + F.softplus(-judge(torch.randn(8, 2))).mean(), judges)
            descend(F.softplus(-judge(made)).mean(), makes)
    """,
    "lbfgs": """
        model = nn.Linear(3, 1)
        opt = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
        x = torch.randn(16, 3); y = x.sum(1, keepdim=True)
        def closure():
            opt.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            return loss
        for _ in range(170): losses.append(opt.step(closure).item())
    """,
    "amp": """
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        opt = sgd(model)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=40)
        for step in range(250):
            opt.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model(torch.randn(8, 4)), torch.randint(0, 3, (8,)))
            scaler.scale(loss if step % 50 else loss * float("inf")).backward()
            scaler.step(opt); scaler.update()
            losses.append(loss.item())
        print(scaler.get_scale())
    """,
    "checkpointing": """
        from torch.utils.checkpoint import checkpoint
        block = lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.2))
        model = nn.ModuleList([block(), block(), nn.Linear(8, 2)])
        opt = sgd(model)
        for _ in range(250):
            x = torch.randn(4, 8)
            for each in model[:2]: x = checkpoint(each, x, use_reentrant=False)
            descend(model[2](x).square().mean(), opt)
    """,
    "compile": """
        import torch._dynamo
        from torch._dynamo.utils import counters
        torch._dynamo.reset(); counters.clear()
        model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
        net = torch.compile(model, backend="aot_eager", fullgraph=True)
        opt = sgd(model)
        for step in range(400):
            rows = 8 if step < 390 else 6
            descend(F.cross_entropy(net(torch.randn(rows, 4)), torch.randint(0, 3, (rows,))), opt)
        print(counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()), counters["frames"]["ok"])
    """,
}

FRAMEWORKS = {
    "with_lightning": """
        import logging, warnings
        warnings.filterwarnings("ignore")
        import lightning
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        class Net(lightning.LightningModule):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
            def training_step(self, batch, _):
                loss = F.cross_entropy(self.net(batch[0]), batch[1])
                losses.append(loss.item())
                return loss
            def validation_step(self, batch, _):
                return F.cross_entropy(self.net(batch[0]), batch[1])
            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters())
        data = torch.utils.data.TensorDataset(torch.randn(160, 8), torch.randint(0, 2, (160,)))
        batches = lambda size, shuffle=False: torch.utils.data.DataLoader(data, size, shuffle=shuffle)
        model = Net()
        silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        trainer = lightning.Trainer(max_epochs=8, accelerator="cpu", **silent)
        trainer.fit(model, batches(4, shuffle=True), batches(40))
    """,
    "with_trainer": """
        import transformers
        transformers.utils.logging.set_verbosity_error()
        config = transformers.BertConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                         intermediate_size=32, max_position_embeddings=16, num_labels=2)
        model = transformers.BertForSequenceClassification(config)
        rows = [{"input_ids": torch.randint(0, 64, (8,)), "labels": place % 2} for place in range(64)]
        folder = pathlib.Path(__file__).with_suffix("")
        arguments = transformers.TrainingArguments(
            str(folder), max_steps=150, per_device_train_batch_size=4, gradient_accumulation_steps=2, use_cpu=True,
            logging_steps=50, save_strategy="no", report_to=[], disable_tqdm=True, eval_strategy="steps", eval_steps=30)
        class Keep(transformers.TrainerCallback):
            def on_log(self, args, state, control, logs=None, **rest):
                losses.extend(value for key, value in logs.items() if key.endswith("loss"))
        trainer = transformers.Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:32], callbacks=[Keep()])
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train()
    """,
    "with_accelerate": """
        import accelerate
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
        data = torch.utils.data.TensorDataset(torch.randn(256, 8), torch.randint(0, 2, (256,)))
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        loader = torch.utils.data.DataLoader(data, 4, shuffle=True)
        model, opt, loader = accelerator.prepare(model, torch.optim.AdamW(model.parameters()), loader)
        for epoch in range(6):
            for x, y in loader:
                with accelerator.accumulate(model):
                    loss = F.cross_entropy(model(x), y)
                    accelerator.backward(loss)
                    opt.step(); opt.zero_grad()
                    losses.append(loss.item())
    """,
}


def text(name: str) -> str:
    """The script of a training."""
    body = BODIES.get(name) or FRAMEWORKS[name]
    return "\n".join(textwrap.dedent(part).strip("\n") for part in (START, body, END)) + "\n"

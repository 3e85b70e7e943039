"""A script that trains models hooked and eagerly, and prints digests of what both leave: see test_second_process."""

import hashlib
import json
import sys

import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step, captured
from roam_lab.demo import gpt2 as demo

traces = []
trace_step = captured.trace_step


def counted(*args, **kwargs):
    traces.append(1)
    return trace_step(*args, **kwargs)


captured.trace_step = counted


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(self.norm(self.convolution(x)) + x)


def perceptron():
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 2))
    return model, torch.optim.AdamW(model.parameters()), (torch.randn(4, 8), torch.tensor([0, 1, 0, 1])), criterion()


def residual():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), Residual(8), nn.MaxPool2d(2), Residual(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    return model, optimizer, (torch.randn(4, 3, 10, 10), torch.tensor([0, 1, 2, 3])), criterion()


def gpt2():
    demo.VOCABULARY, demo.POSITIONS, demo.WIDTH, demo.HEADS, demo.DEPTH = 64, 16, 16, 2, 2
    model = demo.GPT2()
    ids = torch.randint(0, 64, (2, 8))
    return model, torch.optim.AdamW(model.parameters(), fused=True), (ids, ids), {"loss": next_tokens}


def next_tokens(model, batch):
    ids, labels = batch
    return nn.functional.cross_entropy(model(ids)[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def clipped():
    """With a scheduler in the step."""
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 100)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        logits = model(batch[0])
        loss = nn.functional.cross_entropy(logits, batch[1])
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        return {"loss": loss, "norm": norm, "right": (logits.argmax(1) == batch[1]).sum()}

    return model, optimizer, (torch.randn(4, 8), torch.tensor([0, 1, 0, 1])), {"step": step}


def of_transformers(name):
    import transformers as library

    small = {"vocab_size": 64, "bos_token_id": 0, "eos_token_id": 0}
    if name == "gpt2":
        model = library.GPT2LMHeadModel(library.GPT2Config(n_layer=2, n_embd=16, n_head=2, n_positions=16, **small))
    else:
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        sizes["max_position_embeddings"] = 16
        if name == "bert":
            model = library.BertForMaskedLM(library.BertConfig(**sizes, **small))
        else:
            model = library.LlamaForCausalLM(library.LlamaConfig(num_key_value_heads=2, **sizes, **small))
    ids = torch.randint(1, 64, (2, 8))
    batch = {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}
    return model, torch.optim.AdamW(model.parameters()), batch, {}


def criterion():
    return {"loss": nn.CrossEntropyLoss()}


MODELS = {
    "perceptron": perceptron, "residual": residual, "gpt2": gpt2, "clipped": clipped,
    **{f"transformers {name}": lambda name=name: of_transformers(name) for name in ("gpt2", "bert", "llama")},
}  # fmt: skip


def train(make, hooked):
    torch.manual_seed(0)
    model, optimizer, batch, how = make()
    step = as_step(**how)
    run = roam.hook(model, optimizer, **how) if hooked else lambda batch: step(model, optimizer, batch)
    found = hashlib.sha256()
    for _ in range(4):
        for leaf in torch.utils._pytree.tree_leaves(run(batch)):
            found.update(leaf.detach().numpy().tobytes())
    state = [*model.state_dict().values(), *(one for held in optimizer.state.values() for one in held.values())]
    for tensor in state:
        found.update(tensor.numpy().tobytes())
    return found.hexdigest(), run


def main(names):
    found = {}
    for name in names:
        traces.clear()
        eager, _ = train(MODELS[name], hooked=False)
        digest, hook = train(MODELS[name], hooked=True)
        found[name] = {
            "eager": eager, "hooked": digest, "traces": len(traces), "notes": hook.notes, "planned": hook.planned_steps,
            "steps": 4,
        }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])

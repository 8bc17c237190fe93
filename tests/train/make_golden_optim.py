#!/usr/bin/env python3
"""Writes golden/optim.txt: weights after 1 and 5 steps of torch.optim on tiny float64 tensors.

The starting weights and the gradients follow the formulas below, as in optimizer_test.cpp.
Usage: PYTHONPATH=<torch> python3 make_golden_optim.py          (made with torch 2.11.0)
"""
import math
import pathlib

import torch

SHAPES = {"w": (3, 4), "b": (4,), "k": (2, 2, 2)}
PHASES = {"w": 0.1, "b": 0.2, "k": 0.3}


def start(name):
    i = torch.arange(math.prod(SHAPES[name]), dtype=torch.float64)
    return torch.sin(0.7 * i + PHASES[name]).reshape(SHAPES[name])


def gradient(name, step):
    i = torch.arange(math.prod(SHAPES[name]), dtype=torch.float64)
    return torch.cos(0.3 * i + 1.1 * step + PHASES[name]).reshape(SHAPES[name])


def run(out, title, make, decay, decay_all):
    weights = {name: start(name).requires_grad_() for name in SHAPES}
    groups = [{"params": [w], "weight_decay": decay if decay_all or w.dim() > 1 else 0.0}
              for w in weights.values()]
    optimizer = make(groups)
    for step in range(5):
        for name, w in weights.items():
            w.grad = gradient(name, step)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        optimizer.step()
        if step in (0, 4):
            for name, w in weights.items():
                numbers = " ".join(f"{v:.17g}" for v in w.detach().reshape(-1).tolist())
                out.write(f"{title}.{step + 1}.{name} {w.numel()} {numbers}\n")


def main():
    folder = pathlib.Path(__file__).parent / "golden"
    folder.mkdir(exist_ok=True)
    sgd, adamw = torch.optim.SGD, torch.optim.AdamW
    with open(folder / "optim.txt", "w") as out:
        run(out, "sgd", lambda g: sgd(g, lr=0.1, momentum=0.9), 0.01, True)
        run(out, "sgd_plain", lambda g: sgd(g, lr=0.1), 0.0, True)
        run(out, "nesterov", lambda g: sgd(g, lr=0.1, momentum=0.9, nesterov=True), 0.01, False)
        run(out, "adamw", lambda g: adamw(g, lr=0.1, betas=(0.8, 0.95), eps=1e-6), 0.05, False)
        run(out, "adamw_all", lambda g: adamw(g, lr=0.1, betas=(0.9, 0.999), eps=1e-8), 0.05, True)


main()

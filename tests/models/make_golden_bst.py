#!/usr/bin/env python3
"""Writes tests/models/golden/bst.txt: BST on padded sequences, its transformer that of
torch.nn.TransformerEncoderLayer (post-norm, both directions, a mask of keys), in float64, with
weights that follow a formula (golden_values.py) under the names that the C++ module has.

head, tail, ignore   every slot's output with the target item there, or left out
gradients            of the head form, its slots weighted with numbers without a pattern

Usage: PYTHONPATH=<torch> python3 make_golden_bst.py
Made with torch 2.11.0.
"""
import math

import torch
from golden_values import FOLDER, filled, line, summaries
from torch import nn

WIDTH, TARGET, HIDDEN, HEADS, INNER, STEPS = 6, 5, 8, 2, 12, 4
LENGTHS = torch.tensor([4, 1, 3, 2, 4])


def weight(name, *shape):
    values = filled(name, shape)
    if len(shape) == 2:
        values = values * math.sqrt(3 / shape[1])
    elif name.endswith("weight"):
        values = 1 + 0.2 * values
    else:
        values = 0.1 * values
    return values.requires_grad_()


class Weights(dict):
    def of(self, name, *shape):
        if name not in self:
            self[name] = weight(name, *shape)
        return self[name]


def encoder_layer(w, prefix, x, unseen):
    layer = nn.TransformerEncoderLayer(HIDDEN, HEADS, INNER, dropout=0, activation="gelu",
                                       layer_norm_eps=1e-12, batch_first=True).double()
    parts = ("query", "key", "value")
    parameters = {  # a bias of keys has no effect
        "self_attn.in_proj_weight": torch.cat([w.of(f"{prefix}{part}.weight", HIDDEN, HIDDEN)
                                               for part in parts]),
        "self_attn.in_proj_bias": torch.cat([w.of(f"{prefix}{part}.bias", HIDDEN) if part != "key"
                                             else torch.zeros(HIDDEN, dtype=torch.float64)
                                             for part in parts])}
    for theirs, ours, out, width in (("self_attn.out_proj", "dense", HIDDEN, HIDDEN),
                                     ("linear1", "inner", INNER, HIDDEN),
                                     ("linear2", "out", HIDDEN, INNER)):
        parameters[f"{theirs}.weight"] = w.of(f"{prefix}{ours}.weight", out, width)
        parameters[f"{theirs}.bias"] = w.of(f"{prefix}{ours}.bias", out)
    for theirs, ours in (("norm1", "attention_norm"), ("norm2", "out_norm")):
        for part in ("weight", "bias"):
            parameters[f"{theirs}.{part}"] = w.of(f"{prefix}{ours}.{part}", HIDDEN)
    return torch.func.functional_call(layer, parameters, (x,),
                                      {"src_key_padding_mask": unseen})


def bst(w, position):
    def projected(x, name, width):
        return torch.relu(x @ w.of(f"{name}.weight", HIDDEN, width).T + w.of(f"{name}.bias", HIDDEN))
    x = projected(filled("steps in", (5, STEPS, WIDTH)), "steps", WIDTH)
    unseen = torch.arange(STEPS)[None] >= LENGTHS[:, None]
    positions = w.of("positions", STEPS + 1, HIDDEN)
    if position != "ignore":
        target = projected(filled("target in", (5, TARGET)), "target", TARGET)[:, None]
        beside = torch.zeros(5, 1, dtype=torch.bool)
        parts, masks = [target, x], [beside, unseen]
        if position == "tail":
            parts, masks = parts[::-1], masks[::-1]
        x, unseen = torch.cat(parts, 1), torch.cat(masks, 1)
    x = nn.functional.layer_norm(x + positions[:x.shape[1]], (HIDDEN,), w.of("norm.weight", HIDDEN),
                                 w.of("norm.bias", HIDDEN), 1e-12)
    for i in range(2):
        x = encoder_layer(w, f"layer{i}.", x, unseen)
    return x


def main():
    w = Weights()
    with open(FOLDER / "bst.txt", "w") as out:
        for position in ("head", "tail", "ignore"):
            line(out, position, bst(w, position))
        output = bst(w, "head")
        gradients = torch.autograd.grad((output * filled("upstream", output.shape)).sum(),
                                        list(w.values()), allow_unused=True)
        summaries(out, "gradients", dict(zip(w, gradients)))


if __name__ == "__main__":
    main()

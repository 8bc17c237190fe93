#!/usr/bin/env python3
"""Writes tests/models/golden/sequence_encoder.txt: what a SASRec encoder of plain PyTorch modules on
dense [B, L, d] tensors computes in float64, with weights that follow a formula (golden_values.py).

output     all slots, padding too: rows with few items, with masked items (id 0) inside, full, empty
gradients  of its sum weighted with numbers without a pattern, for every parameter
last       gradients when the last slots alone are weighted, as a recommendation loss has them

Usage: PYTHONPATH=<torch> python3 make_golden_sequence_encoder.py
Made with torch 2.11.0.
"""
import math

import torch
from golden_values import FOLDER, fill, filled, line, summaries
from torch import nn

ITEMS, LENGTH, DIM, HEADS, LAYERS, INNER = 20, 12, 16, 2, 2, 64
ROWS = [[3, 1, 4],
        [9, 0, 0, 5, 20, 6],  # masked inside
        [7, 0],  # the last one masked
        [],
        [11, 8, 2, 10, 4, 4, 19, 3, 15, 16, 1, 12],
        [21]]  # the reserved id


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.dense = (nn.Linear(DIM, DIM) for _ in range(4))
        self.LayerNorm = nn.LayerNorm(DIM, eps=1e-12)

    def forward(self, x, mask):
        q, k, v = (layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
                   for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(DIM // HEADS) + mask
        context = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.LayerNorm(x + self.dense(context))


class Intermediate(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense_1, self.dense_2 = nn.Linear(DIM, INNER), nn.Linear(INNER, DIM)
        self.LayerNorm = nn.LayerNorm(DIM, eps=1e-12)

    def forward(self, x):
        return self.LayerNorm(x + self.dense_2(nn.functional.gelu(self.dense_1(x))))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.intermediate = Attention(), Intermediate()

    def forward(self, x, mask):
        return self.intermediate(self.attention(x, mask))


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList(Layer() for _ in range(LAYERS))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.item_embeddings = nn.Embedding(ITEMS + 2, DIM, padding_idx=0)
        self.position_embeddings = nn.Embedding(LENGTH, DIM)
        self.LayerNorm = nn.LayerNorm(DIM, eps=1e-12)
        self.item_encoder = Layers()

    def forward(self, items):
        seen = (items > 0)[:, None, None] & torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
        mask = -1e4 * (~seen).double()
        x = self.item_embeddings(items) + self.position_embeddings(torch.arange(LENGTH))
        x = self.LayerNorm(x)
        for layer in self.item_encoder.layer:
            x = layer(x, mask)
        return x


def main():
    net = Encoder().double()
    fill(net)
    items = torch.tensor([[0] * (LENGTH - len(row)) + row for row in ROWS])
    with open(FOLDER / "sequence_encoder.txt", "w") as out:
        output = net(items)
        line(out, "output", output)
        upstream = filled("upstream", output.shape)
        for title, weighted in (("gradients", output * upstream),
                                ("last", output[:, -1] * upstream[:, -1])):
            net.zero_grad()
            weighted.sum().backward(retain_graph=True)
            summaries(out, title, {name: p.grad for name, p in net.named_parameters()})


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The sequence encoder in a training step beside eager PyTorch: forward and backward of a
recommendation pass (256 rows) and of two views (512 rows) behind two extra layers, dropout on, no
loss, no optimiser. The peer is modules of torch.nn on dense [B, 50, 64] tensors, as S3-Rec and SRMA
write them; rows are as short as Beauty's in both. Turns in the same run; medians; ratios are
peer / cltrain.

  whole   cltrain's views have all 50 slots (the flattened contrast reads them)
  ragged  cltrain's views begin at their first item (contrast of last slots or means)

usage: sequence_encoder.py SEQUENCE_ENCODER_BENCH [--threads 2] [--rounds 3] [--steps 15]
needs torch; the program is build/bin/sequence_encoder_bench.
"""
import argparse
import math
import statistics
import subprocess
import time

import torch
from torch import nn

ITEMS, LENGTH, BATCH, DIM, HEADS, INNER, LAYERS = 12101, 50, 256, 64, 2, 256, 2


def made_items(rows):
    items = torch.zeros(rows, LENGTH, dtype=torch.long)
    for row in range(rows):
        count = min(LENGTH, 2 + int(-5 * math.log(1 - row * 0.6180339887498949 % 1)))
        for i in range(count):
            items[row, LENGTH - 1 - i] = 1 + (row * 7919 + i * 104729) % ITEMS
    return items


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.dense = (nn.Linear(DIM, DIM) for _ in range(4))
        self.norm, self.drop = nn.LayerNorm(DIM, eps=1e-12), nn.Dropout(0.5)
        self.drop_weights = nn.Dropout(0.1)

    def forward(self, x, mask):
        q, k, v = (layer(x).view(*x.shape[:2], HEADS, -1).permute(0, 2, 1, 3)
                   for layer in (self.query, self.key, self.value))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(DIM // HEADS) + mask
        weights = self.drop_weights(torch.softmax(scores, -1))
        context = torch.matmul(weights, v).permute(0, 2, 1, 3).contiguous().view(x.shape)
        return self.norm(x + self.drop(self.dense(context)))


class Intermediate(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense_1, self.dense_2 = nn.Linear(DIM, INNER), nn.Linear(INNER, DIM)
        self.norm, self.drop = nn.LayerNorm(DIM, eps=1e-12), nn.Dropout(0.5)

    def forward(self, x):
        inner = nn.functional.gelu(self.dense_1(x))
        return self.norm(x + self.drop(self.dense_2(inner)))


class Single(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense, self.norm = nn.Linear(DIM, DIM), nn.LayerNorm(DIM, eps=1e-12)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.norm(x + self.drop(nn.functional.gelu(self.dense(x))))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(ITEMS + 2, DIM, padding_idx=0)
        self.positions = nn.Embedding(LENGTH, DIM)
        self.norm, self.drop = nn.LayerNorm(DIM, eps=1e-12), nn.Dropout(0.5)
        self.attention = nn.ModuleList(Attention() for _ in range(LAYERS))
        self.intermediate = nn.ModuleList(Intermediate() for _ in range(LAYERS))

    def forward(self, items):
        causal = torch.triu(torch.ones(1, LENGTH, LENGTH), diagonal=1) == 0
        seen = (items > 0)[:, None, None, :] * causal.unsqueeze(1)
        mask = (1.0 - seen.float()) * -10000.0
        positions = torch.arange(LENGTH).unsqueeze(0).expand_as(items)
        x = self.drop(self.norm(self.items(items) + self.positions(positions)))
        for attention, intermediate in zip(self.attention, self.intermediate):
            x = intermediate(attention(x, mask))
        return x


def peer_milliseconds(encoder, extra, items, views, steps):
    times = []
    for step in range(-2, steps):
        begin = time.perf_counter()
        encoder.zero_grad()
        extra.zero_grad()
        scored, seen = encoder(items), encoder(views)
        for layer in extra:
            seen = layer(seen)
        ((scored * scored.detach()).sum() + (seen * seen.detach()).sum()).backward()
        if step >= 0:
            times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    encoder, extra = Encoder().train(), nn.ModuleList(Single() for _ in range(2)).train()
    items, views = made_items(BATCH), made_items(2 * BATCH)
    found = {"peer": [], "whole": [], "ragged": []}
    for _ in range(options.rounds):
        found["peer"].append(peer_milliseconds(encoder, extra, items, views, options.steps))
        printed = subprocess.run([options.bench, str(options.steps), str(options.threads)],
                                 check=True, capture_output=True, text=True).stdout
        for name, value in (line.split() for line in printed.splitlines()):
            found[name].append(float(value))
    median = {name: statistics.median(values) for name, values in found.items()}
    print(f"eager PyTorch, dense   {median['peer']:8.1f} ms a step")
    for name in ("whole", "ragged"):
        print(f"cltrain, views {name:7} {median[name]:8.1f} ms a step, "
              f"{median['peer'] / median[name]:.1f} times as fast")


if __name__ == "__main__":
    main()

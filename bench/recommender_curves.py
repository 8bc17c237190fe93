#!/usr/bin/env python3
"""How a recommender learns here beside an independent implementation: the same data, the same options,
other draws. The peer is written from the methods' formulas with modules of torch.nn on dense windows,
and torch's Adam; nothing of cltrain is in it. Printed are, each --every epochs, the mean next-item loss
and contrast of the epochs since, and NDCG@20 on the validation items by SRMA's protocol; of the peer
also without SRMA's extra layers.

usage: recommender_curves.py --data FILE.inter|FILE.txt --work FOLDER [--method srma] [--epochs 60]
                             [--every 10] [--seed 1] [--threads 1] [--cltrain build/bin/cltrain]
                             [--through] [key=value ...]
--method sasrec, cl4srec (flat vectors) or srma (three extra layers, one dropped, through which the
scores of evaluation pass). --through: the next-item loss passes them too, as srma_*.yaml have it.
key=value goes to cltrain alone.

Needs torch and numpy.
"""
import argparse
import json
import math
import os
import pathlib
import random
import subprocess
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

L, D, HEADS, BATCH, LAMBDA = 50, 64, 2, 256, 0.1
CROP, MASK, REORDER = 0.2, 0.7, 0.2
CONFIG = {"sasrec": "sasrec_ml100k.yaml", "cl4srec": "cl4srec_beauty.yaml",
          "srma": "srma_ml100k.yaml"}


def read_lists(path):
    """Users' items, oldest first, as numbers from 1, and the largest number."""
    if path.suffix == ".txt":
        lists = [[int(i) for i in line.split()[1:]] for line in path.read_text().splitlines()]
        return lists, max(max(items) for items in lists)
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    at = {name.split(":")[0]: i for i, name in enumerate(rows[0])}
    users, numbers = {}, {}
    for row in rows[1:]:
        users.setdefault(row[at["user_id"]], []).append(
            (float(row[at["timestamp"]]), row[at["item_id"]]))
    lists = [[item for _, item in sorted(events, key=lambda e: e[0])] for events in users.values()]
    for items in lists:
        for item in items:
            numbers.setdefault(item, len(numbers) + 1)
    return [[numbers[item] for item in items] for items in lists], len(numbers)


def window(items):
    return [0] * (L - len(items)) + items[-L:]


class Layer(nn.Module):
    def __init__(self, dropout=0.5, attention_dropout=0.1):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(D, D) for _ in range(4))
        self.inner, self.outer = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        self.norm1, self.norm2 = nn.LayerNorm(D, eps=1e-12), nn.LayerNorm(D, eps=1e-12)
        self.drop, self.drop_weights = nn.Dropout(dropout), nn.Dropout(attention_dropout)

    def forward(self, x, mask):
        heads = lambda t: t.view(len(x), L, HEADS, D // HEADS).transpose(1, 2)
        scores = heads(self.q(x)) @ heads(self.k(x)).transpose(2, 3) / math.sqrt(D // HEADS) + mask
        mixed = (self.drop_weights(scores.softmax(-1)) @ heads(self.v(x))).transpose(1, 2)
        x = self.norm1(x + self.drop(self.o(mixed.reshape(len(x), L, D))))
        return self.norm2(x + self.drop(self.outer(F.gelu(self.inner(x)))))


class Extra(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense, self.norm, self.drop = nn.Linear(D, D), nn.LayerNorm(D, eps=1e-12), nn.Dropout(0.5)

    def forward(self, x):
        return self.norm(x + self.drop(F.gelu(self.dense(x))))


class Network(nn.Module):
    def __init__(self, items, extra):
        super().__init__()
        self.items, self.positions = nn.Embedding(items + 2, D, padding_idx=0), nn.Embedding(L, D)
        self.norm, self.drop = nn.LayerNorm(D, eps=1e-12), nn.Dropout(0.5)
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.extra = nn.ModuleList(Extra() for _ in range(extra))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        self.causal = torch.ones(L, L).tril().bool()

    def forward(self, ids, kept=()):
        mask = torch.where((ids > 0)[:, None, None, :] & self.causal, 0.0, -1e4)
        x = self.drop(self.norm(self.items(ids) + self.positions.weight))
        for layer in self.layers:
            x = layer(x, mask)
        for n in kept:
            x = self.extra[n](x)
        return x


def view(items):
    """One operation on a whole list."""
    n, made = len(items), list(items)
    kind = random.choice(("crop", "mask", "reorder"))
    if kind == "crop":
        size = max(1, int(CROP * n))
        start = random.randint(0, n - size)
        return made[start:start + size]
    if kind == "mask":
        for at in random.sample(range(n), int(MASK * n)):
            made[at] = 0
        return made
    size = int(REORDER * n)
    start = random.randint(0, n - size)
    part = made[start:start + size]
    random.shuffle(part)
    return made[:start] + part + made[start + size:]


def nt_xent(a, b):
    """Raw dot products; each of the 2B rows against all others."""
    rows = torch.cat([a, b])
    logits = (rows @ rows.t()).fill_diagonal_(-math.inf)
    return F.cross_entropy(logits, torch.arange(len(rows)).roll(len(a)))


def ndcg(network, lists, kept):
    """Of items[-2], what is before it scoring 0, the two ids that are no items among the others."""
    network.eval()
    found = []
    with torch.no_grad():
        for begin in range(0, len(lists), BATCH):
            part = [items for items in lists[begin:begin + BATCH] if len(items) > 2]
            ids = torch.tensor([window(items[:-2]) for items in part])
            scores = network(ids, kept)[:, -1] @ network.items.weight.t()
            for row, items in enumerate(part):
                scores[row, items[:-2]] = 0
                rank = int((scores[row] > scores[row, items[-2]]).sum())
                found.append(1 / math.log2(rank + 2) if rank < 20 else 0)
    network.train()
    return float(np.mean(found))


def peer(lists, count, method, epochs, every, through):
    extra = 3 if method == "srma" else 0
    network = Network(count, extra)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    users = [items for items in lists if len(items) > 3]
    known = {id(items): set(items) for items in users}
    rows, sums = [], []
    for epoch in range(epochs):
        random.shuffle(users)
        for begin in range(0, len(users), BATCH):
            batch = users[begin:begin + BATCH]
            ids = torch.tensor([window(items[:-3]) for items in batch])
            targets = torch.tensor([window(items[1:-2]) for items in batch])
            others = torch.tensor([[0 if t == 0 else next(
                o for o in iter(lambda: random.randint(1, count + 1), 0) if o not in known[id(items)])
                for t in window(items[1:-2])] for items in batch])
            kept = lambda: sorted(random.sample(range(extra), extra - 1)) if extra else ()
            h, real = network(ids, kept() if through else ()), targets > 0
            score = lambda which: (h * network.items(which)).sum(-1)[real]
            following = (F.softplus(-score(targets)) + F.softplus(score(others))).mean()
            contrast = torch.zeros(())
            if method != "sasrec":
                views = torch.tensor([window(view(items[:-3])) for _ in range(2) for items in batch])
                a, b = network(views, kept()).flatten(1).chunk(2)
                contrast = nt_xent(a, b)
            adam.zero_grad()
            (following + LAMBDA * contrast).backward()
            adam.step()
            sums.append((following.item(), contrast.item()))
        if (epoch + 1) % every == 0:
            rows.append((epoch + 1, *np.mean(sums, 0), ndcg(network, lists, range(extra)),
                         ndcg(network, lists, ())))
            sums = []
            print("peer", *rows[-1], file=sys.stderr, flush=True)
    return rows


def ours(options, more):
    run = options.work / f"{options.method}-{options.seed}"
    settings = [f"data.root={options.data.parent.resolve()}", f"data.name={options.data.stem}",
                f"run.seed={options.seed}", f"train.epochs={options.epochs}", "train.patience=1000",
                f"eval.every_epochs={options.every}", "metrics.enabled=false", f"run.dir={run}"]
    if options.method == "cl4srec":
        settings.append("cl4srec.contrast=flat")
    stage = []
    if options.method == "srma":
        stage = ["--stage", "1"]
        settings += [f"srma.layers_in_training={str(options.through).lower()}",
                     "srma.normalize=false", "srma.temperature=1"]
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    subprocess.run([options.cltrain, "--config", CONFIG[options.method], *stage, *settings, *more],
                   check=True, stdout=subprocess.DEVNULL, env=environment)
    run = run / "1" if stage else run
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = {}
    for line in (run / "evaluations.jsonl").read_text().splitlines():
        one = json.loads(line)
        if one["probe"] == "validation":
            scores[one["step"]] = one["scores"]["NDCG@20"]
    rows = []
    for last in range(options.every, options.epochs + 1, options.every):
        some = [s for s in steps if last - options.every <= s["epoch"] < last]
        following = [s["scalars"].get("next_item_loss", s["loss"]) for s in some]
        contrast = [s["scalars"].get("contrast_loss", 0) for s in some]
        rows.append((last, np.mean(following), np.mean(contrast), scores[some[-1]["step"]]))
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--method", choices=list(CONFIG), default="srma")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--through", action="store_true")
    parser.add_argument("--cltrain", default="build/bin/cltrain")
    options, more = parser.parse_known_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    lists, count = read_lists(options.data)
    here = ours(options, more)
    there = peer(lists, count, options.method, options.epochs, options.every,
                 options.through)
    print(f"{options.method} on {options.data.name}, seed {options.seed}: cltrain / PyTorch\n")
    print("| epochs | next-item loss | contrast | NDCG@20, validation | PyTorch, without the extra layers "
          "|\n|---|---|---|---|---|")
    for a, b in zip(here, there, strict=True):
        print(f"| {a[0]} | {a[1]:.3f} / {b[1]:.3f} | {a[2]:.2f} / {b[2]:.2f} | "
              f"{a[3]:.4f} / {b[3]:.4f} | {b[4]:.4f} |")


if __name__ == "__main__":
    main()

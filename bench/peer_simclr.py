#!/usr/bin/env python3
"""The training step of simclr_fashion.yaml in eager PyTorch: the same network, batch, loss and
optimiser family, one process, all threads. It has no data pipeline (the views are made beforehand),
which favours it. Prints images/s of each step after the warm-up.

usage: peer_simclr.py [--batch 256] [--width 0.5] [--steps 20] [--threads 2]
"""
import argparse
import time

import torch
from torch import nn
from torch.nn import functional as F


def conv_net(width):
    layers, channels = [], 3
    for out, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (256, 1)):
        out = max(1, round(out * width))
        layers += [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out),
                   nn.ReLU(inplace=True)]
        channels = out
    encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Sequential(nn.Linear(channels, channels, bias=False), nn.BatchNorm1d(channels),
                         nn.ReLU(inplace=True), nn.Linear(channels, 64, bias=False),
                         nn.BatchNorm1d(64))
    return nn.Sequential(encoder, head)


def nt_xent(z, temperature=0.2):
    z = F.normalize(z)
    logits = z @ z.t() / temperature
    logits.fill_diagonal_(float("-inf"))
    half = len(z) // 2
    return F.cross_entropy(logits, (torch.arange(len(z)) + half) % len(z))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    net = conv_net(options.width)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    views = torch.randn(2 * options.batch, 3, 28, 28)
    for step in range(options.steps):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        nt_xent(net(views)).backward()
        optimizer.step()
        if step >= 2:
            print(f"{options.batch / (time.perf_counter() - started):.1f}", flush=True)


if __name__ == "__main__":
    main()

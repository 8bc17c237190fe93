#!/usr/bin/env python3
"""A training step of SimCLR in eager PyTorch: network, batch, loss and optimiser family of
simclr_fashion.yaml (small_conv) or of simclr_cifar100.yaml (resnet18, torchvision's, small stem). One
process, all threads. It has no data pipeline (the views are made beforehand), which favours it.
Prints images/s of each step after the warm-up.

usage: peer_simclr.py [--model small_conv|resnet18] [--batch 256] [--width 0.5] [--bfloat16]
                      [--channels-last] [--steps 20] [--threads 2]
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


def resnet18():
    import torchvision
    net = torchvision.models.resnet18(num_classes=512)
    net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    net.maxpool = nn.Identity()
    net.fc = nn.Sequential(nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512),
                           nn.ReLU(inplace=True), nn.Linear(512, 128, bias=False),
                           nn.BatchNorm1d(128))
    return net


def nt_xent(z, temperature=0.2):
    z = F.normalize(z)
    logits = z @ z.t() / temperature
    logits.fill_diagonal_(float("-inf"))
    half = len(z) // 2
    return F.cross_entropy(logits, (torch.arange(len(z)) + half) % len(z))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="small_conv", choices=["small_conv", "resnet18"])
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    small = options.model == "small_conv"
    net = conv_net(options.width) if small else resnet18()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    views = torch.randn(2 * options.batch, 3, *((28, 28) if small else (32, 32)))
    if options.channels_last:
        net = net.to(memory_format=torch.channels_last)
        views = views.contiguous(memory_format=torch.channels_last)
    for step in range(options.steps):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            z = net(views)
        nt_xent(z.float()).backward()
        optimizer.step()
        if step >= 2:
            print(f"{options.batch / (time.perf_counter() - started):.1f}", flush=True)


if __name__ == "__main__":
    main()

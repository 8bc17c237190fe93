#!/usr/bin/env python3
"""Writes tests/models/golden/: what torchvision's ResNets are called and what they compute.

resnet_states.txt    every parameter and buffer, but the classifier's: "name shape" a line
resnet_features.txt  features, running statistics and gradients of networks whose weights follow a
                     formula (filled() below, and in resnet_features_test.cpp), in float64

Usage: PYTHONPATH=<torch and torchvision> python3 make_golden_resnets.py
Made with torch 2.11.0, torchvision 0.26.0.
"""
import math
import pathlib

import numpy
import torch
import torchvision

FOLDER = pathlib.Path(__file__).parent / "golden"
M32 = numpy.uint64(0xFFFFFFFF)


def filled(name, shape):
    """Numbers in [-1, 1) that depend on the name and the flat index only: whole-number arithmetic,
    so that every language finds the same ones."""
    salt = 0x811C9DC5
    for letter in name.encode():
        salt = (salt ^ letter) * 0x01000193 & 0xFFFFFFFF
    h = numpy.arange(math.prod(shape), dtype=numpy.uint64)
    h = (h * numpy.uint64(0x9E3779B1) + numpy.uint64(salt)) & M32
    h ^= h >> numpy.uint64(15)
    h = (h * numpy.uint64(0x85EBCA77)) & M32
    h ^= h >> numpy.uint64(13)
    h = (h * numpy.uint64(0xC2B2AE3D)) & M32
    h ^= h >> numpy.uint64(16)
    return torch.from_numpy(h.astype(numpy.float64) / 2**31 - 1).reshape(shape)


def fill(net):
    for name, tensor in list(net.named_parameters()) + list(net.named_buffers()):
        if not tensor.is_floating_point():
            continue
        values = filled(name, tensor.shape)
        if tensor.dim() == 4:  # uniform with variance 2 / fan-in
            values = values * math.sqrt(6 / math.prod(tensor.shape[1:]))
        elif name.endswith("running_var"):
            values = 1 + 0.5 * values
        elif name.endswith("weight"):
            values = 1 + 0.2 * values
        else:
            values = 0.1 * values
        with torch.no_grad():
            tensor.copy_(values)


def make(depth, small_stem):
    net = getattr(torchvision.models, f"resnet{depth}")(weights=None).double()
    if small_stem:
        net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False).double()
        net.maxpool = torch.nn.Identity()
    net.fc = torch.nn.Identity()
    fill(net)
    return net


def line(out, name, values):
    flat = values.detach().reshape(-1).tolist()
    out.write(f"{name} {len(flat)} " + " ".join(f"{v:.17g}" for v in flat) + "\n")


def features(out, depth, small_stem, side):
    title = f"resnet{depth}{'_small_stem' if small_stem else ''}"
    images = filled("images", (3, 3, side, side))
    net = make(depth, small_stem)
    net.eval()
    line(out, f"{title}.eval", net(images)[:, ::16])
    net.train()
    trained = net(images)
    line(out, f"{title}.train", trained[:, ::16])
    (trained * filled("upstream", trained.shape)).sum().backward()
    last = net.layer4[-1]
    norm = last.bn3 if depth >= 50 else last.bn2
    line(out, f"{title}.bn1.running_mean", net.bn1.running_mean[::4])
    line(out, f"{title}.bn1.running_var", net.bn1.running_var[::4])
    line(out, f"{title}.last.running_var", norm.running_var[::16])
    line(out, f"{title}.conv1.gradient", net.conv1.weight.grad.reshape(-1)[::97])
    line(out, f"{title}.bn1.gradient", net.bn1.weight.grad[::4])
    shortcut = net.layer2[0].downsample[0].weight.grad
    line(out, f"{title}.shortcut.gradient", shortcut.reshape(-1)[:: shortcut.numel() // 16])


def main():
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / "resnet_states.txt", "w") as out:
        for depth in (18, 34, 50, 101, 152):
            net = getattr(torchvision.models, f"resnet{depth}")(weights=None)
            net.fc = torch.nn.Identity()
            count = sum(p.numel() for p in net.parameters())
            out.write(f"resnet{depth} {count}\n")
            for name, tensor in net.state_dict().items():
                shape = "x".join(map(str, tensor.shape)) or "scalar"
                out.write(f" {name} {shape}\n")
    with open(FOLDER / "resnet_features.txt", "w") as out:
        features(out, 18, False, 64)
        features(out, 18, True, 16)
        features(out, 50, False, 64)


main()

#!/usr/bin/env python3
"""Writes tests/models/golden/: what torchvision's ResNets are called and what they compute.

resnet_states.txt    every parameter and buffer, but the classifier's: "name shape" a line
resnet_features.txt  features, running statistics and gradients of networks whose weights follow a
                     formula (golden_values.py, golden.h), in float64

Usage: PYTHONPATH=<torch and torchvision> python3 make_golden_resnets.py
Made with torch 2.11.0, torchvision 0.26.0.
"""
import torch
import torchvision
from golden_values import FOLDER, fill, filled, line, states


def make(depth, small_stem):
    net = getattr(torchvision.models, f"resnet{depth}")(weights=None).double()
    if small_stem:
        net.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False).double()
        net.maxpool = torch.nn.Identity()
    net.fc = torch.nn.Identity()
    fill(net)
    return net


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
            states(out, f"resnet{depth}", net)
    with open(FOLDER / "resnet_features.txt", "w") as out:
        features(out, 18, False, 64)
        features(out, 18, True, 16)
        features(out, 50, False, 64)


main()

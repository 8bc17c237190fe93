#!/usr/bin/env python3
"""Writes tests/models/golden/: what torchvision's video ResNets are called and what they compute.

video_resnet_states.txt    every parameter and buffer, but the classifier's: "name shape" a line
video_resnet_features.txt  features, running statistics and gradients of networks of a quarter of
                           the width whose weights follow a formula (golden_values.py, golden.h),
                           in float64

Usage: PYTHONPATH=<torch and torchvision> python3 make_golden_video_resnets.py
Made with torch 2.11.0, torchvision 0.26.0.
"""
import torch
import torchvision
from golden_values import FOLDER, features, fill, filled, states
from torch import nn
from torchvision.models.video import resnet


def stem(base, middle):
    """torchvision's stems, which it has for 64 channels only."""
    over_space = {"stride": (1, 2, 2), "bias": False}
    if not middle:
        return nn.Sequential(nn.Conv3d(3, base, (3, 7, 7), padding=(1, 3, 3), **over_space),
                             nn.BatchNorm3d(base), nn.ReLU())
    return nn.Sequential(nn.Conv3d(3, middle, (1, 7, 7), padding=(0, 3, 3), **over_space),
                         nn.BatchNorm3d(middle), nn.ReLU(),
                         nn.Conv3d(middle, base, (3, 1, 1), padding=(1, 0, 0), bias=False),
                         nn.BatchNorm3d(base), nn.ReLU())


class Narrow(resnet.VideoResNet):
    """torchvision's network, but for the number of channels."""

    def __init__(self, kind, base, middle):
        nn.Module.__init__(self)
        self.inplanes = base
        self.stem = stem(base, middle)
        for i in range(4):
            layer = self._make_layer(resnet.BasicBlock, kind, base << i, 2, stride=2 if i else 1)
            setattr(self, f"layer{i + 1}", layer)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Identity()


def main():
    with open(FOLDER / "video_resnet_states.txt", "w") as names, \
            open(FOLDER / "video_resnet_features.txt", "w") as values:
        for name in ("r3d_18", "r2plus1d_18"):
            net = getattr(torchvision.models.video, name)(weights=None)
            net.fc = torch.nn.Identity()
            states(names, name, net)
        for name, kind, middle in (("r3d_18", resnet.Conv3DSimple, 0),
                                   ("r2plus1d_18", resnet.Conv2Plus1D, 11)):
            net = Narrow(kind, 16, middle).double()
            fill(net)
            features(values, name, net, filled("clips", (3, 3, 4, 20, 24)))


main()

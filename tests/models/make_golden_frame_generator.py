#!/usr/bin/env python3
"""Writes tests/models/golden/frame_generator.txt: scores, gradients and running statistics of
VideoMoCo's generator, stated here in PyTorch, for weights that follow a formula (golden_values.py,
golden.h), in float64.

Usage: PYTHONPATH=<torch> python3 make_golden_frame_generator.py
Made with torch 2.11.0.
"""
import torch
from golden_values import FOLDER, features, fill, filled
from torch import nn
from torch.nn import functional as F


class Normed(nn.Module):
    def __init__(self, into, out, dilation, eps):
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, padding=1, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=eps)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Generator(nn.Module):
    def __init__(self, frames, size, hidden):
        super().__init__()
        wide, side = 3 * frames, (size - 3) // 8
        self.block = Normed(wide, wide, dilation=2, eps=1e-3)
        self.pooled = nn.Conv2d(wide, wide, 1)
        self.rate1 = nn.Conv2d(wide, wide, 1)
        for rate in (6, 12, 18):
            setattr(self, f"rate{rate}", nn.Conv2d(wide, wide, 3, padding=rate, dilation=rate))
        self.merge = nn.Conv2d(5 * wide, wide, 1)
        self.reduce = Normed(wide, frames, dilation=1, eps=1e-5)
        self.refine = Normed(frames, frames, dilation=1, eps=1e-5)
        self.lstm = nn.LSTM(side * side, hidden, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * hidden, frames)

    def forward(self, clip):
        n, _, frames, height, width = clip.shape
        x = clip.reshape(n, 3 * frames, height, width)
        for _ in range(3):
            x = F.max_pool2d(self.block(x), 2, stride=1, padding=1)
        mean = self.pooled(F.adaptive_avg_pool2d(x, 1))
        mean = F.interpolate(mean, size=x.shape[2:], mode="bilinear", align_corners=False)
        x = self.merge(torch.cat([mean, self.rate1(x), self.rate6(x), self.rate12(x),
                                  self.rate18(x)], dim=1))
        x = self.reduce(x)
        for _ in range(3):
            x = F.avg_pool2d(self.refine(self.refine(x)), 2)
        output, _ = self.lstm(x.reshape(n, frames, -1))
        return torch.softmax(self.score(output[:, -1]), dim=1)


def main():
    net = Generator(frames=5, size=30, hidden=6).double()
    fill(net)
    with open(FOLDER / "frame_generator.txt", "w") as out:
        features(out, "generator", net, filled("clips", (3, 3, 5, 30, 30)))


main()

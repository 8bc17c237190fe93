#!/usr/bin/env python3
"""Writes tests/models/golden/: what timm's Vision Transformers are called and what they compute.

vit_states.txt    every parameter of vit_small and vit_base for 224 pixels: "name shape" a line
vit_features.txt  features and gradients of a small one whose weights follow a formula
                  (golden_values.py, golden.h), and MoCo v3's position embedding, in float64

Usage: PYTHONPATH=<torch, torchvision and timm> python3 make_golden_vits.py
Made with torch 2.11.0, timm 1.0.22.
"""
import torch
from golden_values import FOLDER, features, fill, filled, line, states
from timm.models.vision_transformer import VisionTransformer


def positions(rows, dim):
    """Sines and cosines as MoCo v3 arranges them: by row, then by column; zeros for the class."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(rows), indexing="ij")
    frequency = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    parts = []
    for place in (row, column):
        angle = torch.outer(place.reshape(-1).double(), frequency)
        parts += [angle.sin(), angle.cos()]
    return torch.cat([torch.zeros(1, dim, dtype=torch.float64), torch.cat(parts, 1)])


def main():
    with open(FOLDER / "vit_states.txt", "w") as out:
        for name, dim in (("vit_small", 384), ("vit_base", 768)):
            states(out, name, VisionTransformer(embed_dim=dim, depth=12, num_heads=12,
                                                num_classes=0))
    net = VisionTransformer(img_size=24, patch_size=8, embed_dim=48, depth=3, num_heads=4,
                            num_classes=0).double()
    net.pos_embed.requires_grad = False
    fill(net)
    with open(FOLDER / "vit_features.txt", "w") as out:
        features(out, "vit", net, filled("images", (3, 3, 24, 24)))
        line(out, "positions", positions(3, 16))


main()

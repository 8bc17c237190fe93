#!/usr/bin/env python3
"""Draws what bench/ntxent measured: time and extra memory against images, on one rank, for the width
of which the most numbers of images were measured. Needs matplotlib (bench/requirements.txt).

usage: ntxent_plot.py LINES.jsonl OUT.png      (the lines of bench/ntxent --json)
"""
import argparse
import collections
import json

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402, after the choice of what draws
from matplotlib.ticker import NullFormatter, NullLocator  # noqa: E402

NAMES = {"cltrain": ("cltrain", "#c0392b", "o"), "dense": ("dense formula", "#7f8c8d", "s"),
         "tiles": ("loop of ATen tiles", "#8e6bbf", "^"), "lightly": ("lightly", "#2c7fb8", "D"),
         "solo-learn": ("solo-learn's formula", "#2a9d6f", "v"),
         "floor": ("floor of the machine", "#222222", None)}


def usual_width(lines):
    images = collections.defaultdict(set)
    for line in lines:
        images[line["dim"]].add(line["images"])
    return max(images, key=lambda width: (len(images[width]), -width))


def draw(panel, lines, key, label):
    for method, (name, colour, marker) in NAMES.items():
        for dtype, style in (("float32", "-"), ("bfloat16", "--")):
            points = sorted((line["images"], line[key]) for line in lines
                            if line["method"] == method and line["dtype"] == dtype
                            and line.get(key))
            if not points:
                continue
            thick = 2.4 if method == "cltrain" else 1.0 if method == "floor" else 1.5
            panel.plot(*zip(*points), linestyle=":" if method == "floor" else style, color=colour,
                       marker=marker, markersize=5,
                       markerfacecolor="white" if dtype == "bfloat16" else colour, linewidth=thick,
                       alpha=0.5 if method == "floor" and dtype == "bfloat16" else 1,
                       label=name + (", bfloat16" if dtype == "bfloat16" else ""))
    images = sorted({line["images"] for line in lines})
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(images, [f"{count:,}" for count in images])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("images in the global batch")
    panel.set_title(label, fontsize=11, loc="left")
    panel.grid(True, which="major", color="#e4e4e4")
    panel.spines[["top", "right"]].set_visible(False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lines")
    parser.add_argument("out")
    options = parser.parse_args()
    with open(options.lines) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    lines = [line for line in lines if line["ranks"] == 1 and "not_run" not in line]
    if not lines:
        parser.error(f"{options.lines} has no figure of one rank: nothing to draw")
    width = usual_width(lines)
    lines = [line for line in lines if line["dim"] == width]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11.5, 4.2), dpi=110)
    draw(left, lines, "milliseconds", "milliseconds, forward and backward")
    draw(right, lines, "extra_mib", "extra MiB at the peak")
    figure.suptitle(f"NT-Xent, D = {width}, one process, all cores", fontsize=12, x=0.01, ha="left")
    figure.tight_layout(rect=(0, 0, 0.84, 1))
    figure.legend(*left.get_legend_handles_labels(), loc="center right", fontsize=8, frameon=False)
    figure.savefig(options.out)


if __name__ == "__main__":
    main()

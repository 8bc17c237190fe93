"""Weights and inputs that follow a formula, for the make_golden_*.py scripts here; golden.h has the
same formulas for the tests."""
import math
import pathlib

import numpy
import torch

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
        if tensor.dim() >= 4:  # convolutions: uniform with variance 2 / fan-in
            values = values * math.sqrt(6 / math.prod(tensor.shape[1:]))
        elif tensor.dim() == 2:  # matrices: with variance 1 / fan-in
            values = values * math.sqrt(3 / tensor.shape[1])
        elif name.endswith("running_var"):
            values = 1 + 0.5 * values
        elif name.endswith("weight"):
            values = 1 + 0.2 * values
        else:
            values = 0.1 * values
        with torch.no_grad():
            tensor.copy_(values)


def line(out, name, values):
    flat = values.detach().reshape(-1).tolist()
    out.write(f"{name} {len(flat)} " + " ".join(f"{v:.17g}" for v in flat) + "\n")


def states(out, title, net):
    """"title count" and a line "name shape" for each parameter and buffer."""
    out.write(f"{title} {sum(p.numel() for p in net.parameters())}\n")
    for name, tensor in net.state_dict().items():
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        out.write(f" {name} {shape}\n")


def summaries(out, title, tensors):
    """Of each tensor, by name: its norm and its product with numbers without a pattern."""
    found = []
    for name in sorted(tensors):
        values = tensors[name].detach().double()
        found += [values.norm(), (values * filled("probe." + name, values.shape)).sum()]
    line(out, title, torch.stack(found))


def features(out, title, net, inputs):
    """Features in evaluation and in training, then gradients and running statistics of a pass in
    training whose result is weighted with numbers without a pattern."""
    net.eval()
    line(out, f"{title}.eval", net(inputs))
    net.train()
    trained = net(inputs)
    line(out, f"{title}.train", trained)
    (trained * filled("upstream", trained.shape)).sum().backward()
    summaries(out, f"{title}.gradients",
              {name: p.grad for name, p in net.named_parameters() if p.grad is not None})
    running = {name: b for name, b in net.named_buffers() if "running" in name}
    if running:
        summaries(out, f"{title}.running", running)

#!/usr/bin/env python3
"""The Python peers of bench/ntxent: NT-Xent forward and backward of one method and one case in this
process; prints one JSON line, as bench/ntxent_worker.h describes it. bench/ntxent starts it.

usage: ntxent_peers.py lightly|solo-learn --images N --dim D [--dtype float32|bfloat16] [--threads 2]
                       [--fixed-temperature]
       ntxent_peers.py --check      prints versions, or fails where torch or lightly is missing

lightly     its NTXentLoss as published; its temperature is set to a tensor that gets a gradient, like
            everybody's here (--fixed-temperature: a number, as its constructor has it)
solo-learn  its formula, restated: exp of all similarities over the temperature, boolean masks of
            positives and negatives made of the images' numbers, no maximum subtracted
bfloat16 is CPU autocast around the loss, as training loops do it. Both normalise what they are given.
"""
import argparse
import ctypes
import json
import statistics
import sys
import time

TEMPERATURE = 0.1
TIMED_SECONDS = 0.5
MOST_RUNS = 10
MOST_WARM_UP_IMAGES = 8192


def versions():
    import lightly
    import torch
    from lightly.loss import NTXentLoss  # noqa: F401, imports what it needs
    return f"lightly {lightly.__version__}, torch {torch.__version__}"


def status_bytes(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def lightly_loss(view0, view1, temperature):
    from lightly.loss import NTXentLoss
    criterion = NTXentLoss(temperature=TEMPERATURE)
    criterion.temperature = temperature
    return criterion(view0, view1)


def solo_learn_loss(view0, view1, temperature):
    import torch
    z = torch.nn.functional.normalize(torch.cat([view0, view1]), dim=-1)
    exponentials = torch.exp(torch.einsum("if,jf->ij", z, z) / temperature)
    image = torch.arange(len(view0)).repeat(2)
    same = image.unsqueeze(1) == image.unsqueeze(0)
    positives = same.clone().fill_diagonal_(False)
    positive = (exponentials * positives).sum(1)
    negative = (exponentials * ~same).sum(1)
    return -torch.log(positive / (positive + negative)).mean()


LOSSES = {"lightly": lightly_loss, "solo-learn": solo_learn_loss}


def make_views(images, width):
    """The same numbers as in ntxent_worker.cpp."""
    import torch
    from torch.nn import functional
    torch.manual_seed(1)
    view0 = functional.normalize(torch.randn(images, width))
    view1 = functional.normalize(view0 + 0.5 / width ** 0.5 * torch.randn(images, width))
    return view0.requires_grad_(), view1.requires_grad_()


def forward_backward(options, views, temperature):
    import torch
    for leaf in (*views, temperature):
        leaf.grad = None
    given = TEMPERATURE if options.fixed_temperature else temperature
    with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bfloat16"):
        loss = LOSSES[options.method](*views, given)
    loss.backward()
    return loss.item()


def squares_along_sphere(view):
    gradient, z = view.grad.double(), view.detach().double()
    return (gradient - z * (gradient * z).sum(1, keepdim=True)).square().sum().item()


def measure(options):
    import torch
    torch.set_num_threads(options.threads)
    temperature = torch.tensor(TEMPERATURE, dtype=torch.float64, requires_grad=True)
    forward_backward(options, make_views(min(256, options.images), options.dim), temperature)
    views = make_views(options.images, options.dim)
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status_bytes("VmRSS")
    started = time.perf_counter()
    if options.images <= MOST_WARM_UP_IMAGES:
        forward_backward(options, views, temperature)
    else:
        forward_backward(options, make_views(MOST_WARM_UP_IMAGES, options.dim), temperature)
    runs = max(1, min(MOST_RUNS, int(TIMED_SECONDS / (time.perf_counter() - started))))
    milliseconds = []
    for _ in range(runs):
        started = time.perf_counter()
        loss = forward_backward(options, views, temperature)
        milliseconds.append(1e3 * (time.perf_counter() - started))
    extra = status_bytes("VmHWM") - before
    return {"milliseconds": statistics.median(milliseconds), "runs": runs,
            "extra_bytes": max(0, extra), "loss": loss,
            "temperature_gradient":
                None if options.fixed_temperature else temperature.grad.item(),
            "gradient_norm": sum(squares_along_sphere(view) for view in views) ** 0.5}


def main():
    if sys.argv[1:] == ["--check"]:
        try:
            print(versions())
        except ImportError as error:
            sys.exit(str(error))
        return
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("method", choices=LOSSES)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fixed-temperature", action="store_true")
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Images a second that one thread turns into two SimCLR views, beside torchvision doing the same, in turn,
several rounds; medians and ratios. And where cltrain's time goes.

usage: views.py [--bench build/bin/views_bench] [--cifar TRAIN.BIN] [--photos FILE.jpg ...] [--rounds 3]
                [--seconds 2]

Run it with the peers on the path: PYTHONPATH=<python-peers>:<torch-...-full>. Two cases:
  cifar   real CIFAR-100 pictures in memory, 32 x 32: crop, flip, jitter 0.4/0.4/0.4/0.1, grey, normalise
  jpeg    500 x 375 JPEG files in memory: 224 x 224, jitter 0.8/0.8/0.8/0.2, grey, blur of 23 pixels, normalise
Two peers: torchvision on PIL images, as SimCLR's users write it (Pillow decodes), and torchvision's v2
transforms on uint8 tensors (torchvision.io decodes). Time is CPU time of the one thread, so that other
programs on the machine count little. Without --photos, scikit-learn's two sample photographs are cut and
scaled to 500 x 375 and saved at quality 90.
"""
import argparse
import io
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy
import torch
from PIL import Image
from torchvision import transforms
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

HERE = pathlib.Path(__file__).resolve().parent
BICUBIC = transforms.InterpolationMode.BICUBIC
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def simclr(kit, size, jitter, blur, to_float):
    """The same list of transforms in either of torchvision's two interfaces."""
    steps = [kit.RandomResizedCrop(size, interpolation=BICUBIC), kit.RandomHorizontalFlip(),
             kit.RandomApply([kit.ColorJitter(*jitter)], p=0.8), kit.RandomGrayscale(0.2)]
    if blur:
        steps.append(kit.RandomApply([kit.GaussianBlur(23, (0.1, 2.0))], p=0.5))
    return kit.Compose(steps + to_float + [kit.Normalize(MEAN, STD)])


def peers(case, pictures):
    """{name: function of an index that makes two views}."""
    arguments = (32, (0.4, 0.4, 0.4, 0.1), False) if case == "cifar" else (224, (0.8, 0.8, 0.8, 0.2), True)
    on_pil = simclr(transforms, *arguments, [transforms.ToTensor()])
    on_tensors = simclr(v2, *arguments, [v2.ToDtype(torch.float32, scale=True)])

    def pil(at):
        picture = pictures[at % len(pictures)]
        image = (Image.fromarray(picture) if case == "cifar"
                 else Image.open(io.BytesIO(picture)).convert("RGB"))
        return on_pil(image), on_pil(image)

    def tensors(at):
        picture = pictures[at % len(pictures)]
        if case == "cifar":
            image = torch.from_numpy(picture).permute(2, 0, 1)
        else:
            image = decode_jpeg(torch.frombuffer(bytearray(picture), dtype=torch.uint8), ImageReadMode.RGB)
        return on_tensors(image), on_tensors(image)

    return {"torchvision on Pillow": pil, "torchvision v2 on tensors": tensors}


def peer_rate(make, seconds):
    for at in range(3):
        make(at)
    made, start = 0, time.thread_time()
    while time.thread_time() - start < seconds:
        make(made)
        made += 1
    return made / (time.thread_time() - start)


def sample_photos(folder):
    from sklearn.datasets import load_sample_images
    paths = []
    for at, pixels in enumerate(load_sample_images().images):
        height, width = pixels.shape[:2]
        cut = Image.fromarray(pixels).crop((0, 0, min(width, height * 4 // 3), height))
        paths.append(folder / f"photo-{at}.jpg")
        cut.resize((500, 375), Image.BICUBIC).save(paths[-1], quality=90)
    return paths


def measure(case, arguments, pictures, options):
    rates, stages = {"cltrain": []}, []
    makers = peers(case, pictures)
    for _ in range(options.rounds):
        run = subprocess.run([options.bench, case, str(options.seconds), *map(str, arguments)], check=True,
                             capture_output=True, text=True)
        result = json.loads(run.stdout)
        rates["cltrain"].append(result["images_per_second"])
        stages.append(result["stages"])
        for name, make in makers.items():
            rates.setdefault(name, []).append(peer_rate(make, options.seconds))
    ours = statistics.median(rates["cltrain"])
    print(f"{case}, one thread, two views an image, instruction set {result['simd']}, "
          f"{options.rounds} rounds:")
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"  {name:28s} {middle:10.1f} images/s  (rounds: {min(values):.1f} to {max(values):.1f})"
              + ("" if name == "cltrain" else f"   cltrain is {ours / middle:.1f} x"))
    shares = {stage: statistics.median(each[stage] for each in stages) for stage in stages[0]}
    total = sum(shares.values())
    print("  where cltrain's time goes, microseconds an image: "
          + ", ".join(f"{stage} {value:.1f} ({100 * value / total:.0f} %)" for stage, value in shares.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", default=str(HERE.parent / "build/bin/views_bench"))
    parser.add_argument("--cifar", default=str(HERE.parent / "../shared/datasets/cifar-100/train.bin"))
    parser.add_argument("--photos", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    records = numpy.fromfile(options.cifar, dtype=numpy.uint8, count=1000 * 3074).reshape(-1, 3074)
    small = records[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()
    measure("cifar", [options.cifar], list(small), options)
    with tempfile.TemporaryDirectory(prefix="cltrain-views-") as folder:
        photos = [pathlib.Path(path) for path in options.photos] or sample_photos(pathlib.Path(folder))
        measure("jpeg", photos, [path.read_bytes() for path in photos], options)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes tests/data/golden/*.npy: what torchvision makes of given pictures with given parameters.

    PYTHONPATH=<folder with torch, torchvision 0.26, numpy> tests/data/make_golden_views.py

Run once by hand; its output is committed, and tests/data/augment_test.cpp compares with it. The
pictures are smooth random fields with noise, uint8, [height, width, 3]. Everything is torchvision's
own functional interface on uint8 tensors; columns of the parameter tables are named below.
"""

import pathlib

import numpy
import torch
import torchvision
from torchvision.transforms import ColorJitter, InterpolationMode, RandomResizedCrop, RandomSolarize
from torchvision.transforms import functional as F

OUT = pathlib.Path(__file__).resolve().parent / "golden"
BICUBIC = dict(interpolation=InterpolationMode.BICUBIC, antialias=True)


def picture(generator, height, width):
    """Coloured blobs, edges and a little noise: hues, greys, black and white all occur."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    planes = []
    for _ in range(3):
        plane = numpy.full((height, width), 110.0)
        for _ in range(4):
            fy, fx, phase = generator.uniform(-0.35, 0.35, 2).tolist() + [generator.uniform(0, 6.3)]
            plane += 45 * numpy.sin(fy * y + fx * x + phase)
        planes.append(plane)
    image = numpy.stack(planes, -1) + generator.normal(0, 6, (height, width, 3))
    image[: height // 5, : width // 4] = 255
    image[-(height // 5):, : width // 4] = 0
    image[: height // 5, -(width // 4):] = image[: height // 5, -(width // 4):].mean(-1, keepdims=True)
    return image.clip(0, 255).astype(numpy.uint8)


def tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def array(image):
    assert image.dtype == torch.uint8
    return image.permute(1, 2, 0).contiguous().numpy()


def save(name, values, dtype):
    numpy.save(OUT / (name + ".npy"), numpy.ascontiguousarray(numpy.array(values, dtype=dtype)))


def jitter(image, order, brightness, contrast, saturation, hue):
    for which in order:
        image = (
            F.adjust_brightness(image, brightness) if which == 0
            else F.adjust_contrast(image, contrast) if which == 1
            else F.adjust_saturation(image, saturation) if which == 2
            else F.adjust_hue(image, hue)
        )
    return image


def single_operations(small):
    """Columns: picture, operation (0 brightness, 1 contrast, 2 saturation, 3 hue, 4 grey, 5 flip),
    parameter."""
    functions = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue,
                 lambda image, _: F.rgb_to_grayscale(image, num_output_channels=3),
                 lambda image, _: F.hflip(image)]
    wanted = [(0, 0.2), (0, 1.73), (1, 0.35), (1, 1.8), (2, 0.0), (2, 1.61), (3, -0.2), (3, 0.113),
              (3, 0.5), (3, -0.5), (3, 0.003), (4, 0), (5, 0)]
    rows, results = [], []
    for which in (0, 1):
        for operation, parameter in wanted:
            rows.append([which, operation, parameter])
            results.append(array(functions[operation](tensor(small[which]), parameter)))
    save("single_draws", rows, "<f8")
    save("single", results, "u1")


def jitters(small, generator):
    """Columns: picture, order x 4, brightness, contrast, saturation, hue."""
    rows, results = [], []
    for at in range(16):
        factors = generator.uniform(0.2, 1.8, 3).tolist() + [generator.uniform(-0.2, 0.2)]
        order = generator.permutation(4).tolist()
        rows.append([at % len(small), *order, *factors])
        results.append(array(jitter(tensor(small[at % len(small)]), order, *factors)))
    save("jitter_draws", rows, "<f8")
    save("jitter", results, "u1")


def crops(small, large):
    """Columns: picture (the last is the large one), top, left, height, width. Size 24."""
    rows = [[0, 0, 0, 32, 32], [1, 5, 3, 20, 17], [2, 10, 12, 6, 8], [0, 29, 1, 3, 3], [1, 2, 30, 9, 2],
            [3, 31, 31, 1, 1], [2, 4, 4, 24, 24], [4, 0, 0, 90, 120], [4, 11, 20, 60, 80],
            [4, 3, 100, 80, 20], [4, 70, 5, 10, 12], [4, 40, 0, 47, 111]]
    results = [array(F.resized_crop(tensor(large if row[0] == 4 else small[row[0]]), *row[1:], [24, 24],
                                    **BICUBIC)) for row in rows]
    save("crop_draws", rows, "<f8")
    save("crop", results, "u1")


def blurs(small):
    """Columns: picture, kernel, sigma."""
    rows = [[0, 3, 0.1], [1, 3, 0.62], [2, 3, 2.0], [0, 5, 1.0], [1, 9, 1.9], [2, 23, 2.0], [3, 63, 5.0]]
    results = [array(F.gaussian_blur(tensor(small[which]), [kernel, kernel], [sigma, sigma]))
               for which, kernel, sigma in rows]
    save("blur_draws", rows, "<f8")
    save("blur", results, "u1")


def plain(small, large):
    """Resize of the shorter side and CenterCrop; both orientations, with and without the margin."""
    for name, image, shorter, size in [("plain_24", large, 24, 24), ("plain_72", large, 82, 72),
                                       ("plain_tall_40", large.transpose(1, 0, 2).copy(), 40, 40),
                                       ("plain_grow_40", small[0], 40, 40)]:
        save(name, array(F.center_crop(F.resize(tensor(image), shorter, **BICUBIC), size)), "u1")


def views(small, large, generator):
    """Columns: picture, top, left, height, width, flip, jitter, order x 4, brightness, contrast,
    saturation, hue, gray, blur, sigma. Size 24, kernel 3."""
    rows, results = [], []
    for at in range(16):
        which = at % 5
        image = tensor(large if which == 4 else small[which])
        top, left, height, width = RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3))
        order = generator.permutation(4).tolist()
        factors = generator.uniform(0.2, 1.8, 3).tolist() + [generator.uniform(-0.2, 0.2)]
        flip, jittered, gray, blur = at % 2, int(at % 3 > 0), int(at % 5 == 3), at // 2 % 2
        sigma = generator.uniform(0.1, 2.0)
        rows.append([which, top, left, height, width, flip, jittered, *order, *factors, gray, blur, sigma])
        image = F.resized_crop(image, top, left, height, width, [24, 24], **BICUBIC)
        image = F.hflip(image) if flip else image
        image = jitter(image, order, *factors) if jittered else image
        image = F.rgb_to_grayscale(image, num_output_channels=3) if gray else image
        image = F.gaussian_blur(image, [3, 3], [sigma, sigma]) if blur else image
        results.append(array(image))
    save("view_draws", rows, "<f8")
    save("view", results, "u1")
    always = RandomSolarize(128, p=1)
    save("solarize", [array(always(tensor(view))) for view in results], "u1")


def statistics():
    """Means and standard deviations of torchvision's draws. Rows: crops of a 375 x 500 picture, of a
    20 x 100 picture (mostly the fallback); columns: means of top, left, height, width, then their
    deviations. Last row: means of brightness, contrast, saturation, hue, then their deviations."""
    rows = []
    for height, width in [(375, 500), (20, 100)]:
        image = torch.empty(3, height, width)
        drawn = numpy.array([RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3))
                             for _ in range(40000)], dtype=float)
        rows.append([*drawn.mean(0), *drawn.std(0)])
    jitters = ColorJitter(0.8, 0.8, 0.8, 0.2)
    drawn = numpy.array([ColorJitter.get_params(jitters.brightness, jitters.contrast, jitters.saturation,
                                                jitters.hue)[1:] for _ in range(40000)], dtype=float)
    rows.append([*drawn.mean(0), *drawn.std(0)])
    save("statistics", rows, "<f8")


def main():
    assert torchvision.__version__.startswith("0.26"), torchvision.__version__
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(7)
    generator = numpy.random.default_rng(7)
    small = [picture(generator, 32, 32) for _ in range(4)]
    large = picture(generator, 90, 120)
    save("small", small, "u1")
    save("large", large, "u1")
    single_operations(small)
    jitters(small, generator)
    crops(small, large)
    blurs(small)
    plain(small, large)
    views(small, large, generator)
    statistics()
    total = sum(path.stat().st_size for path in OUT.glob("*.npy"))
    print(f"{OUT}: {len(list(OUT.glob('*.npy')))} files, {total} bytes")


if __name__ == "__main__":
    main()

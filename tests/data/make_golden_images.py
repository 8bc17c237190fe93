#!/usr/bin/env python3
"""Writes tests/data/golden/images/: small JPEG and PNG files of unusual kinds, and Pillow's reading of
each as NAME.npy (uint8 RGB, transparency composited on white).

    PYTHONPATH=<folder with pillow, numpy> tests/data/make_golden_images.py

Run once by hand; its output is committed, and tests/data/decode_test.cpp compares with it.
"""

import pathlib

import numpy
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parent / "golden" / "images"
HEIGHT, WIDTH = 20, 27


def planes(count):
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    return [((y * (3 + 2 * n) + x * (7 - 2 * n) + 40 * n) % 256).astype(numpy.uint8) for n in range(count)]


def smooth(count):
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    return [(128 + 100 * numpy.sin(y / 9 + n) * numpy.cos(x / 11 - n)).astype(numpy.uint8)
            for n in range(count)]


def merge(mode, channels):
    return Image.merge(mode, [Image.fromarray(plane) for plane in channels])


def keep(image, name, **options):
    path = OUT / name
    image.save(path, **options)
    read = Image.open(path)
    if read.mode == "I;16":
        rgb = numpy.repeat(numpy.rint(numpy.array(read) / 257.0).astype(numpy.uint8)[..., None], 3, -1)
    elif read.mode in ("RGBA", "LA") or "transparency" in read.info:
        rgba = numpy.array(read.convert("RGBA")).astype(int)
        alpha = rgba[..., 3:]
        rgb = numpy.rint((rgba[..., :3] * alpha + 255 * (255 - alpha)) / 255.0).astype(numpy.uint8)
    else:
        rgb = numpy.array(read.convert("RGB"))
    numpy.save(OUT / (name + ".npy"), rgb)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    keep(merge("RGB", smooth(3)), "colour.jpg", quality=90)
    keep(merge("RGB", smooth(3)), "progressive.jpg", quality=90, progressive=True)
    keep(Image.fromarray(smooth(1)[0]), "grey.jpg", quality=90)
    keep(merge("CMYK", smooth(4)), "cmyk.jpg", quality=95)
    keep(merge("RGB", planes(3)), "rgb.png")
    keep(merge("RGBA", planes(4)), "rgba.png")
    keep(merge("LA", planes(2)), "grey_alpha.png")
    keep(merge("RGB", planes(3)).quantize(13), "palette.png")
    keep(merge("RGB", planes(3)).quantize(13), "palette_transparent.png", transparency=4)
    keep(Image.fromarray(planes(1)[0] > 100), "one_bit.png")
    grey16 = planes(1)[0].astype(numpy.uint16) * 256 + planes(2)[1]
    keep(Image.fromarray(grey16), "grey16.png")
    print(OUT, len(list(OUT.iterdir())), "files", sum(path.stat().st_size for path in OUT.iterdir()), "bytes")


if __name__ == "__main__":
    main()

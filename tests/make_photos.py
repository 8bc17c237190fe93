#!/usr/bin/python3
"""Writes a small image folder of "photos": 2 classes, 64 JPEGs of 300 to 500 pixels a side.

    tests/make_photos.py OUT_DIR [FASHION_MNIST_FOLDER]

Each is a real Fashion-MNIST test image (sneakers and bags), scaled up, tinted, and laid on a coloured
gradient, so that a 224-pixel configuration has something to chew on. Deterministic; a finished OUT_DIR
is left as it is. Needs Debian's python3-pil and dataset-fashion-mnist.
"""

import gzip
import os
import pathlib
import random
import shutil
import struct
import sys

try:
    from PIL import Image
except ImportError:
    sys.exit("make_photos.py: no Pillow for this Python; run `apt-get install python3-pil` and use "
             "/usr/bin/python3")

CLASSES = {7: "sneaker", 8: "bag"}
PER_CLASS = 32


def read_idx(path, dimensions):
    """The extents and the bytes of an IDX file."""
    try:
        with gzip.open(path) as file:
            data = file.read()
    except FileNotFoundError:
        sys.exit(f"make_photos.py: {path}: no such file; run `apt-get install dataset-fashion-mnist`, or "
                 "give the folder of the four IDX files as second argument")
    extents = struct.unpack(f">{dimensions}I", data[4: 4 + 4 * dimensions])
    return extents, data[4 + 4 * dimensions:]


def photo(pixels, height, width, draw):
    """One grey image as a coloured picture of a size of its own."""
    out_width, out_height = draw.randrange(300, 501), draw.randrange(300, 501)
    mask = Image.frombytes("L", (width, height), pixels).resize((out_width, out_height), Image.BICUBIC)
    corners = Image.new("RGB", (2, 2))
    corners.putdata([tuple(draw.randrange(256) for _ in range(3)) for _ in range(4)])
    background = corners.resize((out_width, out_height), Image.BILINEAR)
    tint = Image.new("RGB", (out_width, out_height), tuple(draw.randrange(256) for _ in range(3)))
    return Image.composite(tint, background, mask)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[1])
    source = pathlib.Path(sys.argv[2] if len(sys.argv) == 3 else "/usr/share/datasets/fashion-mnist")
    if out.is_dir() and len(list(out.glob("*/*.jpg"))) == len(CLASSES) * PER_CLASS:
        print(f"{out}: {len(CLASSES) * PER_CLASS} photos are there already")
        return
    (count, height, width), pixels = read_idx(source / "t10k-images-idx3-ubyte.gz", 3)
    _, labels = read_idx(source / "t10k-labels-idx1-ubyte.gz", 1)
    # Written beside and renamed, so that a stopped call leaves no half folder behind.
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for label, name in CLASSES.items():
        folder = partial / name
        folder.mkdir(parents=True)
        chosen = [at for at in range(count) if labels[at] == label][:PER_CLASS]
        for at in chosen:
            area = height * width
            picture = photo(pixels[at * area: (at + 1) * area], height, width, random.Random(at))
            picture.save(folder / f"{at:05d}.jpg", quality=90)
    if out.is_dir():
        try:
            out.rmdir()
        except OSError:
            sys.exit(f"make_photos.py: {out} holds other files; give an empty or a new folder "
                     f"(the photos are in {partial})")
    os.rename(partial, out)
    print(f"{out}: {len(CLASSES) * PER_CLASS} photos written")


if __name__ == "__main__":
    main()

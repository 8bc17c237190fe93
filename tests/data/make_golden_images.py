#!/usr/bin/env python3
"""Writes tests/data/golden/images/: small JPEG and PNG files of unusual kinds, and Pillow's reading of
each as NAME.npy (uint8 RGB, upright by EXIF, transparency composited on white). Files that exist are kept.

    PYTHONPATH=<folder with pillow, numpy> tests/data/make_golden_images.py

Run once by hand; its output is committed, and tests/data/decode_test.cpp compares with it.
"""

import pathlib
import struct
import zlib

import numpy
from PIL import Image, ImageOps

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
    if path.exists():
        return
    image.save(path, **options)
    keep_reading(path)


def keep_reading(path):
    read = ImageOps.exif_transpose(Image.open(path))
    if read.mode == "I;16":
        rgb = numpy.repeat(numpy.rint(numpy.array(read) / 257.0).astype(numpy.uint8)[..., None], 3, -1)
    elif read.mode in ("RGBA", "LA") or "transparency" in read.info:
        rgba = numpy.array(read.convert("RGBA")).astype(int)
        alpha = rgba[..., 3:]
        rgb = numpy.rint((rgba[..., :3] * alpha + 255 * (255 - alpha)) / 255.0).astype(numpy.uint8)
    else:
        rgb = numpy.array(read.convert("RGB"))
    numpy.save(OUT / (path.name + ".npy"), rgb)


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010E] = "another tag, before and after"
    block[0x0131] = "make_golden_images.py"
    return block


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def keep_raw_png(name, samples, colour_type, depth, before=(), after=()):
    """`samples`, [height, width * channels], are the bytes of the rows as they are stored."""
    path = OUT / name
    if path.exists():
        return
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour_type, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(before)
                     + chunk(b"IDAT", zlib.compress(rows, 9)) + b"".join(after) + chunk(b"IEND", b""))
    keep_reading(path)


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
    for sampling in (0, 1):
        keep(merge("RGB", smooth(3)), ("444.jpg", "422.jpg")[sampling], quality=90, subsampling=sampling)
    for orientation in range(1, 9):
        keep(merge("RGB", smooth(3)), f"orientation_{orientation}.jpg", quality=90, exif=exif(orientation))
    keep(merge("RGB", planes(3)), "orientation_6.png", exif=exif(6))
    keep(merge("LA", planes(2)), "orientation_7_alpha.png", exif=exif(7))
    # An eXIf chunk may also stand behind the pixels.
    interleaved = numpy.stack(planes(3), -1).reshape(HEIGHT, -1)
    keep_raw_png("orientation_8_late.png", interleaved, 2, 8,
                 after=[chunk(b"eXIf", exif(8).tobytes().removeprefix(b"Exif\0\0"))])
    rgb16 = (numpy.stack(planes(3), -1).astype(numpy.uint16) * 257).reshape(HEIGHT, -1)
    keep_raw_png("rgb16.png", rgb16.astype(">u2").view(numpy.uint8), 2, 16)
    keep_raw_png("rgb_one_colour_transparent.png", interleaved, 2, 8,
                 before=[chunk(b"tRNS", struct.pack(">HHH", *interleaved[3, 12:15].tolist()))])
    keep_raw_png("grey_two_bits.png", planes(1)[0][:, :(WIDTH * 2 + 7) // 8], 0, 2)
    frames = [merge("RGB", planes(3)), merge("RGB", planes(3)[::-1])]
    keep(frames[0], "animated.png", save_all=True, append_images=frames[1:])
    print(OUT, len(list(OUT.iterdir())), "files", sum(path.stat().st_size for path in OUT.iterdir()), "bytes")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Folders of videos through the whole program: a contact sheet of clips, and exit code 3, without a word
of FFmpeg's, where no video can be used.

usage: bad_videos.py CLTRAIN
"""
import pathlib
import subprocess
import sys

from PIL import Image

import program as p

SETTINGS = ["data.frames=4", "data.stride=2", "augment.size=24"]


def make_videos(folder, count, frames=20):
    for number in range(count):
        path = folder / ("one" if number % 2 else "two") / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i",
                        "testsrc2=size=64x48:rate=25", "-frames:v", str(frames), "-pix_fmt", "yuv420p",
                        path], check=True)


def check_sheet(cltrain, folder):
    sheet = folder / "clips.png"
    done = subprocess.run([cltrain.path, "views", "--config", "videomoco_small.yaml", "--out", sheet,
                           "--samples", "2", *SETTINGS, f"data.root={folder / 'good'}"],
                          capture_output=True, text=True, timeout=300)
    p.check(done.returncode == 0 and "the first 2 samples" in done.stdout, done.stdout + done.stderr)
    with Image.open(sheet) as picture:
        # Cells of 96 pixels and margins of 6; captions of 7 + 5 pixels: 4 columns, 2 x 3 rows.
        p.check(picture.size == (4 * 102 + 6, 6 * (96 + 12 + 6) + 6), f"the sheet is {picture.size}")


def check_exit(cltrain, folder, name, settings, parts):
    code, output = cltrain.run(2, [*p.small("videomoco_small.yaml"), *SETTINGS, f"data.root={folder}", *settings,
                                   "train.global_batch=4", "train.steps=2", "data.max_bad_ratio=0.9",
                                   f"run.dir={folder.parent / ('run-' + name)}"])
    p.check(code == 3, f"{name}: exit {code}\n{output}")
    for part in parts:
        p.check(part in output, f"{name}: nothing says {part!r}:\n{output}")
    for noise in ("[mov", "[h264", "moov atom", "Invalid NAL"):
        p.check(noise not in output, f"{name}: FFmpeg talks:\n{output}")


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        make_videos(folder / "good", 4)
        check_sheet(cltrain, folder)
        make_videos(folder / "cut", 4)
        for path in (folder / "cut").glob("*/*.mp4"):
            path.write_bytes(path.read_bytes()[:-300])
        check_exit(cltrain, folder / "cut", "cut", [], ["truncated or corrupt", "seems to be gone or damaged"])
        check_exit(cltrain, folder / "good", "short", ["data.frames=12"],
                   ["20 frames, a clip takes 24 (data.frames=12 x data.stride=2)"])
        (folder / "empty").mkdir()
        check_exit(cltrain, folder / "empty", "empty", [], ["no .mp4, .mkv, .webm"])
    print("clips on a sheet; truncated, short and missing videos end with 3 and say which")


if __name__ == "__main__":
    main()

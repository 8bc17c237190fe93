#!/usr/bin/env python3
"""Videos a second that are turned into two views of a clip, by cltrain's loader and by Python peers that do
the same, in turn, several rounds; medians and ratios. And where cltrain's time goes.

usage: clips.py [--bench build/bin/clips_bench] [--videos FOLDER] [--rounds 3] [--seconds 4]

Run it with the peers on the path: PYTHONPATH=<bench-peers>:<python-peers>:<torch-...-full>. A clip: 8 frames,
every second one, from a random start; a view: crop (0.2 to 1) to 56 x 56, flip, jitter 0.4/0.4/0.4/0.1, grey,
normalise, one draw for all frames. Peers decode with PyAV or decord (one thread a worker), and augment with
torchvision's v2 transforms on uint8 tensors [8, 3, H, W]. One worker: CPU time of the process, so that other
programs count little (decord's threads are in it). Two workers: a second of the clock, peers with a
DataLoader of two processes; wants an idle machine.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import time

import av
import decord
import torch
from torchvision import transforms
from torchvision.transforms import v2

HERE = pathlib.Path(__file__).resolve().parent
FRAMES, STRIDE, SIZE = 8, 2, 56
AUGMENT = v2.Compose([
    v2.RandomResizedCrop(SIZE, scale=(0.2, 1), interpolation=transforms.InterpolationMode.BICUBIC),
    v2.RandomHorizontalFlip(), v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
    v2.RandomGrayscale(0.2), v2.ToDtype(torch.float32, scale=True),
    v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])


def wanted_frames(count):
    start = random.randrange(count - FRAMES * STRIDE + 1)
    return list(range(start, start + FRAMES * STRIDE, STRIDE))


def by_pyav(path):
    """As users write it: the header's frame count, then frames one by one up to the last one wanted."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        wanted = wanted_frames(stream.frames)
        found = []
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                found.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if number == wanted[-1]:
                break
        return torch.stack(found).permute(0, 3, 1, 2)


def by_decord(path):
    reader = decord.VideoReader(str(path), num_threads=1)
    frames = torch.from_numpy(reader.get_batch(wanted_frames(len(reader))).asnumpy())
    return frames.permute(0, 3, 1, 2)


class Clips(torch.utils.data.Dataset):
    """Two views [3, 8, 56, 56] of each video, in an order of its own; it never ends."""

    def __init__(self, paths, decode):
        self.paths, self.decode = paths, decode

    def __len__(self):
        return 1 << 20

    def __getitem__(self, at):
        clip = self.decode(self.paths[at % len(self.paths)])
        return tuple(AUGMENT(clip).transpose(0, 1).contiguous() for _ in range(2))


def peer_rate(clips, workers, seconds):
    """Videos a CPU second with one worker, which is this process; a second of the clock with more."""
    if workers == 1:
        batches = ([clips[at] for at in range(first, first + 32)] for first in range(0, len(clips), 32))
        clock = time.process_time
    else:
        batches = iter(torch.utils.data.DataLoader(clips, batch_size=32, num_workers=workers))
        clock = time.monotonic
    for _ in range(2):
        next(batches)
    made, start = 0, clock()
    while clock() - start < seconds:
        next(batches)
        made += 32
    return made / (clock() - start)


def measure(workers, paths, options):
    rates, parts = {"cltrain": []}, []
    peers = {"PyAV + torchvision": Clips(paths, by_pyav), "decord + torchvision": Clips(paths, by_decord)}
    for _ in range(options.rounds):
        run = subprocess.run([options.bench, options.videos, str(workers), str(options.seconds), str(FRAMES),
                              str(STRIDE), str(SIZE)], check=True, capture_output=True, text=True)
        result = json.loads(run.stdout)
        rates["cltrain"].append(result["videos_per_cpu_second" if workers == 1 else "videos_per_second"])
        parts.append(result["parts"])
        for name, clips in peers.items():
            rates.setdefault(name, []).append(peer_rate(clips, workers, options.seconds))
    ours = statistics.median(rates["cltrain"])
    unit = "CPU second" if workers == 1 else "second"
    print(f"{workers} worker(s), {len(paths)} videos, two views of {FRAMES} x {SIZE} x {SIZE}, instruction set "
          f"{result['simd']}, {options.rounds} rounds:")
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"  {name:22s} {middle:8.1f} videos a {unit}  (rounds: {min(values):.1f} to {max(values):.1f})"
              + ("" if name == "cltrain" else f"   cltrain is {ours / middle:.1f} x"))
    if workers == 1:
        print("  where cltrain's time goes, microseconds a video: " + ", ".join(
            f"{part} {statistics.median(each[part] for each in parts):.0f}" for part in parts[0]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", default=str(HERE.parent / "build/bin/clips_bench"))
    parser.add_argument("--videos", default=str(HERE.parent / "../shared/datasets/video"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    paths = sorted(pathlib.Path(options.videos).glob("*/*.mp4"))
    if not paths:
        raise SystemExit(f"{options.videos}: no folder of .mp4 files in it; give --videos FOLDER")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    for workers in (1, 2):
        measure(workers, paths, options)


if __name__ == "__main__":
    main()

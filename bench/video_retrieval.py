#!/usr/bin/env python3
"""VideoMoCo on a folder of short clips: nearest-neighbour retrieval of the untrained encoder, of plain
momentum contrast, and of training with the generator that drops frames, in cross-validation.

usage: video_retrieval.py --clips FOLDER --work FOLDER --steps N [--cltrain build/bin/cltrain]
                          [--seeds 1,2,3] [--variants plain,generator] [--only-folds 1,2,3,4,5]
                          [--threads 1] [--at-once 2] [--similar 0.7] [--print-folds] [key=value ...]

FOLDER of --clips has a sub-folder of videos a class. Clips of one scene lie in one fold: five grey
thumbnails (24 x 18) of each, at even places, are made with the ffmpeg program; two clips whose best pair of
thumbnails correlates above --similar are linked, and linked clips are a group. Groups go to 5 folds, large
ones first, each where it keeps the classes most even. All of this is deterministic and knows no network.

For each seed, variant and fold: `cltrain --config videomoco_small.yaml` on the other four folds (one rank
on --threads cores; --at-once runs beside each other), `cltrain eval --probe retrieval` and `cltrain embed`.
Hits per clip are counted from the embeddings, and must be as many as eval reports. What is done is not
done again, and a run that was stopped goes on from its checkpoint: the same command continues. key=value
goes to every command. --only-folds trains some folds and prints their figures, for a first look.

Needs numpy (tests/requirements.txt), ffmpeg, taskset. Prints Markdown.
"""
import argparse
import concurrent.futures
import hashlib
import json
import math
import os
import pathlib
import queue
import subprocess
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
FOLDS, TOP = 5, (1, 5, 10, 20)
THUMB, MOMENTS = (24, 18), 5
GENERATOR_START = {"plain": "1", "generator": "0.5"}


def find_clips(folder):
    """[(class, path)] in the order of cltrain's ids: classes, then names, by bytes."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    clips = [(at.name, path) for at in classes for path in sorted(at.glob("*.mp4"))]
    if len(classes) < 2 or not clips:
        raise SystemExit(f"{folder}: expected sub-folders with .mp4 files, one a class")
    return clips


def thumbnails(path):
    """[MOMENTS, pixels] of mean 0 and length 1."""
    width, height = THUMB
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-vf",
                          f"scale={width}:{height}:flags=area,format=gray", "-f", "rawvideo", "-"],
                         check=True, capture_output=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, width * height).astype(np.float64)
    at = np.linspace(0, len(frames) - 1, MOMENTS).round().astype(int)
    some = frames[at] - frames[at].mean(1, keepdims=True)
    return some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-9)


def similarities(clips, cache):
    """[n, n]: the best correlation between a thumbnail of one clip and one of the other."""
    if not cache.exists():
        np.save(cache, np.stack([thumbnails(path) for _, path in clips]))
    images = np.load(cache)
    best = np.full((len(clips), len(clips)), -1.0)
    for first in range(MOMENTS):
        for second in range(MOMENTS):
            best = np.maximum(best, images[:, first] @ images[:, second].T)
    return best


def groups_of(similar, threshold):
    """Connected clips: lists of positions, the largest first."""
    left, groups = set(range(len(similar))), []
    while left:
        found, reached = [], [min(left)]
        left.remove(reached[0])
        while reached:
            clip = reached.pop()
            found.append(clip)
            near = [other for other in left if similar[clip, other] > threshold]
            left.difference_update(near)
            reached += near
        groups.append(sorted(found))
    return sorted(groups, key=lambda group: (-len(group), group))


def folds_of(groups, labels):
    """The fold of each clip: a group goes where the sum of squared class counts grows least."""
    counts = np.zeros((FOLDS, max(labels) + 1))
    fold = np.zeros(len(labels), int)
    for group in groups:
        added = np.bincount([labels[clip] for clip in group], minlength=counts.shape[1])
        growth = ((counts + added) ** 2 - counts ** 2).sum(1)
        best = int(growth.argmin())
        counts[best] += added
        fold[group] = best
    return fold


def make_links(clips, fold, work):
    for number in range(FOLDS):
        for part in ("train", "val"):
            for at, (name, path) in enumerate(clips):
                if (fold[at] == number) != (part == "val"):
                    continue
                link = work / f"fold{number + 1}" / part / name / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(path.resolve())


class Runner:
    """Runs cltrain, each time on a share of the cores that nobody else of this program has."""

    def __init__(self, options, clips, fold):
        self.options, self.work, self.clips, self.fold = options, options.work, clips, fold
        self.cores = queue.Queue()
        cores = sorted(os.sched_getaffinity(0))
        for slot in range(options.at_once):
            first = slot * options.threads
            self.cores.put([str(cores[(first + i) % len(cores)]) for i in range(options.threads)])

    def call(self, log, *arguments):
        cores = self.cores.get()
        environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1",
                           OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_NUM_THREADS=str(len(cores)))
        try:
            with open(self.work / "logs" / f"{log}.log", "a") as out:
                status = subprocess.run(
                    ["taskset", "-c", ",".join(cores), self.options.cltrain, *arguments,
                     *self.options.overrides], stdout=out, stderr=out, env=environment).returncode
        finally:
            self.cores.put(cores)
        if status != 0:
            raise RuntimeError(f"cltrain ended with {status}; see {self.work}/logs/{log}.log")

    def embed(self, name, *source):
        """All clips, [n, D] in the order of `clips`."""
        out = self.work / "embeddings" / f"{name}.npy"
        if not out.exists():
            begun = out.with_name(f"{name}.part.npy")
            self.call(name, "embed", *source, "--split", "test", "--out", str(begun),
                      f"data.val={self.options.clips}")
            ids = np.load(begun.with_name(f"{name}.part.ids.npy"))
            if not np.array_equal(ids, np.arange(len(self.clips))):
                raise RuntimeError(f"{begun}: {len(ids)} ids, expected 0 .. {len(self.clips) - 1}")
            begun.rename(out)
        return np.load(out)

    def eval(self, name, *flags):
        """What eval reports: {neighbours: clips with a hit}."""
        out = self.work / "evals" / f"{name}.json"
        if not out.exists():
            self.call(name, "eval", *flags, "--probe", "retrieval", "--out", str(out))
        report = json.loads(out.read_text())
        return {k: round(report[f"recall_at_{k}"] * report["queries"]) for k in TOP}

    def data(self, number):
        return [f"data.{part}={self.work}/fold{number + 1}/{part}" for part in ("train", "val")]

    def hits(self, vectors, number, labels, reported, name):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        found = hits_of(unit @ unit.T, self.fold == number, labels)
        counted = {k: int(found[k].sum()) for k in TOP}
        if counted != reported:
            raise RuntimeError(f"{name}: eval reports hits {reported}, embeddings give {counted}")
        return found

    def train(self, variant, seed, number, labels):
        """Hits of the trained encoder and of the untrained one on the fold's clips."""
        name = f"{variant}-s{seed}-f{number + 1}"
        run = self.work / "runs" / name
        if not (self.work / "evals" / f"{name}.json").exists():
            started = time.monotonic()
            self.call(name, "--config", "videomoco_small.yaml", *self.data(number),
                      f"run.seed={seed}", f"train.steps={self.options.steps}", f"run.dir={run}",
                      f"videomoco.generator_start={GENERATOR_START[variant]}",
                      "eval.enabled=false", "metrics.enabled=false", "metrics.progress=false")
            print(f"trained {name} in {time.monotonic() - started:.0f} s", flush=True)
        trained = self.hits(self.embed(name, "--run", str(run)), number, labels,
                            self.eval(name, "--run", str(run)), name)
        bare = f"untrained-{name}"
        vectors = self.embed(bare, "--config", "videomoco_small.yaml", *self.data(number)[:1],
                             f"run.seed={seed}") if variant == "plain" else None
        untrained = None if vectors is None else self.hits(
            vectors, number, labels, self.eval(bare, "--run", str(run), "--untrained"), bare)
        return trained, untrained


def hits_of(similar, asked, labels):
    """{k: [asked clips] whether one of the clip's class is among the k nearest of the others}."""
    order = np.argsort(-similar[asked][:, ~asked], axis=1, kind="stable")
    right = labels[~asked][order] == labels[asked][:, None]
    return {k: right[:, :k].any(1) for k in TOP}


def wilson(hits, count):
    z, share = 1.959964, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return f"{100 * (middle - half):.1f} to {100 * (middle + half):.1f}"


def sign_test(gained, lost):
    """Two-sided exact probability of so uneven a split of the clips that changed (McNemar)."""
    count, low = gained + lost, min(gained, lost)
    return min(1.0, 2 * sum(math.comb(count, i) for i in range(low + 1)) / 2 ** count)


def interval_over_groups(difference, groups):
    """95 % of 10,000 means over groups drawn with replacement: clips of a scene are not independent."""
    rng = np.random.default_rng(0)
    sums = np.array([difference[group].sum() for group in groups])
    sizes = np.array([len(group) for group in groups])
    drawn = rng.integers(len(groups), size=(10000, len(groups)))
    low, high = np.percentile(100 * sums[drawn].sum(1) / sizes[drawn].sum(1), [2.5, 97.5])
    return f"{low:+.1f} to {high:+.1f}"


def print_tables(hits, seeds, groups):
    """hits[variant][seed]: {k: [clips]}. The mean's interval is that of one seed's number of clips: all
    seeds ask the same clips, so together they are not so many independent ones."""
    print("\n| encoder | seed | R@1 | 95 % (Wilson) | R@5 | R@10 | R@20 |\n|---|---|---|---|---|---|---|")
    for variant, by_seed in hits.items():
        rows = [(str(seed), by_seed[seed]) for seed in by_seed]
        if len(rows) > 1:
            rows.append(("mean", {k: np.mean([by_seed[s][k] for s in by_seed], 0) for k in TOP}))
        for seed, found in rows:
            count, share = len(found[1]), {k: 100 * found[k].mean() for k in TOP}
            print(f"| {variant} | {seed} | {share[1]:.1f} % | {wilson(found[1].sum(), count)} | "
                  f"{share[5]:.1f} % | {share[10]:.1f} % | {share[20]:.1f} % |")
    print("\n| R@1 of | against | seed | only the first | only the second | exact p | points | "
          "95 % (groups) |\n|---|---|---|---|---|---|---|---|")
    for first, second in (("plain", "untrained"), ("generator", "untrained"), ("generator", "plain")):
        if first not in hits or second not in hits:
            continue
        changes = []
        for seed in seeds:
            a, b = hits[first][seed][1], hits[second][seed][1]
            changes.append(a.astype(float) - b)
            gained, lost = int((a & ~b).sum()), int((b & ~a).sum())
            print(f"| {first} | {second} | {seed} | {gained} | {lost} | {sign_test(gained, lost):.2f} | "
                  f"{100 * changes[-1].mean():+.1f} | {interval_over_groups(changes[-1], groups)} |")
        if len(seeds) > 1:
            mean = np.mean(changes, 0)
            print(f"| {first} | {second} | mean | | | | {100 * mean.mean():+.1f} | "
                  f"{interval_over_groups(mean, groups)} |")


def check_settings(options):
    """A folder of work holds runs of one kind."""
    settings = {"clips": str(options.clips), "similar": options.similar, "steps": options.steps,
                "overrides": options.overrides,
                "cltrain": hashlib.sha256(pathlib.Path(options.cltrain).read_bytes()).hexdigest()}
    file = options.work / "settings.json"
    if file.exists() and json.loads(file.read_text()) != settings:
        raise SystemExit(f"{options.work} holds runs with {file.read_text()}, now asked for are "
                         f"{json.dumps(settings)}: take another --work")
    file.write_text(json.dumps(settings))


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--cltrain", default=str(HERE.parent / "build/bin/cltrain"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--variants", default="plain,generator")
    parser.add_argument("--only-folds", default="1,2,3,4,5")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--similar", type=float, default=0.7)
    parser.add_argument("--print-folds", action="store_true")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_intermixed_args()
    options.clips, options.work = options.clips.resolve(), options.work.resolve()
    for folder in ("runs", "logs", "evals", "embeddings"):
        (options.work / folder).mkdir(parents=True, exist_ok=True)
    check_settings(options)
    return options


def main():
    options = parse()
    clips = find_clips(options.clips)
    names = sorted({name for name, _ in clips})
    labels = np.array([names.index(name) for name, _ in clips])
    similar = similarities(clips, options.work / "thumbnails.npy")
    groups = groups_of(similar, options.similar)
    fold = folds_of(groups, labels)
    make_links(clips, fold, options.work)
    sizes = [[int((labels[fold == f] == c).sum()) for c in range(len(names))] for f in range(FOLDS)]
    print(f"{len(clips)} clips, {len(groups)} groups, the largest of {len(groups[0])}; clips of "
          f"{', '.join(names)} by fold: {sizes}", flush=True)
    if options.print_folds:
        for group in groups:
            print(fold[group[0]] + 1, *(clips[clip][1].stem for clip in group))

    numbers = [int(text) - 1 for text in options.only_folds.split(",")]
    seeds = [int(text) for text in options.seeds.split(",")]
    runner = Runner(options, clips, fold)
    jobs = [(variant, seed, number) for seed in seeds for number in numbers
            for variant in options.variants.split(",")]
    with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
        results = list(pool.map(lambda job: runner.train(*job, labels), jobs))

    asked = np.isin(fold, numbers)
    hits = {name: {seed: {k: np.zeros(len(clips), bool) for k in TOP} for seed in seeds}
            for name in ("untrained", *options.variants.split(","))}
    hits["thumbnails"] = {"-": {k: np.zeros(len(clips), bool) for k in TOP}}
    for (variant, seed, number), (trained, untrained) in zip(jobs, results):
        for name, found in ((variant, trained), ("untrained", untrained)):
            for k in TOP if found else ():
                hits[name][seed][k][fold == number] = found[k]
        for k, found in hits_of(similar, fold == number, labels).items():
            hits["thumbnails"]["-"][k][fold == number] = found
    places = np.cumsum(asked) - 1
    print_tables({name: {seed: {k: found[k][asked] for k in TOP} for seed, found in by_seed.items()}
                  for name, by_seed in hits.items()}, seeds,
                 [places[group] for group in groups if asked[group[0]]])


if __name__ == "__main__":
    main()

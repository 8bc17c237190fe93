#!/usr/bin/python3
"""Damaged images in tar shards: the run goes on with the same batches at any number of ranks, lists
each once, restarts included, and ends with exit code 3 when they are too many; a damaged shard is
exit code 3 before the first step.

usage: bad_samples.py CLTRAIN MAKE_PHOTOS PHOTO_FOLDER
"""
import io
import json
import pathlib
import subprocess
import sys
import tarfile

import program as p

KINDS = {5: "damaged", 20: "unsupported", 33: "damaged", 60: "damaged"}  # by number of the image
MARKS = {5: lambda data: data[: len(data) // 2], 20: lambda data: b"GIF89a" + bytes(200),
         33: lambda data: b"", 60: lambda data: data[:20] + bytes(len(data) - 20)}


def write_shards(photos, folder, shards=3):
    """The photos with .cls labels, in order over the shards; 4 of the 64 are spoilt."""
    folder.mkdir(parents=True)
    paths = sorted(photos.glob("*/*.jpg"))
    classes = sorted({path.parent.name for path in paths})
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:03d}.tar", "w") as out:
            for number in range(len(paths) * shard // shards, len(paths) * (shard + 1) // shards):
                data = MARKS.get(number, lambda data: data)(paths[number].read_bytes())
                label = str(classes.index(paths[number].parent.name)).encode()
                for ending, content in (("jpg", data), ("cls", label)):
                    member = tarfile.TarInfo(f"{number:05d}.{ending}")
                    member.size = len(content)
                    out.addfile(member, io.BytesIO(content))


def listed(run_dir):
    lines = (pathlib.Path(run_dir) / "bad_samples.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def main():
    cltrain = p.Program(sys.argv[1])
    subprocess.run(["/usr/bin/python3", sys.argv[2], sys.argv[3]], check=True)
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        write_shards(pathlib.Path(sys.argv[3]), folder / "shards")

        def run(name, ranks, *settings):
            return cltrain.run(ranks, [*p.SMALL, "data.name=tar_shards",
                                       f"data.root={folder / 'shards'}", "augment.size=24",
                                       "train.global_batch=16", f"run.dir={folder / name}", *settings])

        steps = {}
        for ranks in (1, 3):
            for until in (3, 8):  # two epochs, in two sessions
                code, output = run(f"w{ranks}", ranks, "data.max_bad_ratio=0.1", f"train.steps={until}")
                p.check(code == 0, f"{ranks} ranks to step {until}: exit {code}\n{output}")
            steps[ranks] = [step["ids_hash"] for step in p.read_steps(folder / f"w{ranks}")]
            rows = listed(folder / f"w{ranks}")
            kinds = {row["id"]: row["kind"] for row in rows}
            p.check(len(rows) == len(KINDS) and kinds == KINDS, f"{ranks} ranks: the list is {rows}")
            for row in rows:
                p.check(f"{row['id']:05d}.jpg" in row["message"] and ".tar" in row["message"], str(row))
        p.check(len(steps[1]) == 8 and steps[1] == steps[3], f"other batches at 3 ranks: {steps}")
        replacements = [{row["id"]: row["replacement"] for row in listed(folder / f"w{ranks}")}
                        for ranks in (1, 3)]
        p.check(replacements[0] == replacements[1], f"other replacements: {replacements}")

        code, output = run("few", 2, "data.max_bad_ratio=0.05", "train.steps=8")
        p.check(code == 3, f"4 of 64 with 5 % allowed: exit {code}\n{output}")
        for part in ("4 of the 64 training samples", "data.max_bad_ratio=0.05", "bad_samples.jsonl"):
            p.check(part in output, f"nothing says {part!r}:\n{output}")
        p.check(len(listed(folder / "few")) == 4, "the list is not complete")
        code, output = run("few", 2, "data.max_bad_ratio=0.07", "train.steps=8")
        p.check(code == 0, f"a larger share does not let the run continue: exit {code}\n{output}")

        shard = folder / "shards" / "001.tar"
        shard.write_bytes(shard.read_bytes()[:200_000])
        code, output = run("cut", 2, "train.steps=8")
        p.check(code == 3 and "001.tar: at byte " in output and "truncated" in output,
                f"a truncated shard: exit {code}\n{output}")
    print("4 of 64 images are bad: the same batches on 1 and 3 ranks, each listed once, limit kept")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""A CIFAR-100 config starts, narrow and short, on a file of the right size with made-up pictures.

usage: cifar_config.py CLTRAIN CONFIG [OPTION...]
"""
import pathlib
import random
import sys

import program as p


def write_pictures(path, rows):
    """Bytes that differ from row to row: labels, and a window of one random strip."""
    rng = random.Random(1)
    strip = rng.randbytes(2 * 3072)
    with open(path, "wb") as file:
        for row in range(rows):
            start = rng.randrange(3072)
            file.write(bytes([row % 20, row % 100]) + strip[start:start + 3072])


def main():
    cltrain, config = p.Program(sys.argv[1]), sys.argv[2]
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        write_pictures(folder / "train.bin", 50000)
        write_pictures(folder / "test.bin", 10000)
        code, output = cltrain.run(2, ["--config", config, f"data.root={folder}", "train.steps=2",
                                       "model.width=0.125", "eval.enabled=false",
                                       "metrics.enabled=false", f"run.dir={folder / 'run'}",
                                       *sys.argv[3:]])
        p.check(code == 0, f"exit {code}\n{output}")
        p.check([s["step"] for s in p.read_steps(folder / "run")] == [1, 2], "two steps expected")
    print(f"{config}, 2 ranks: two steps")


if __name__ == "__main__":
    main()

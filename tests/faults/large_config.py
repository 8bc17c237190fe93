#!/usr/bin/python3
"""Large configs start: at 8 ranks on an image folder made from real pictures, narrow and short.

usage: large_config.py CLTRAIN MAKE_PHOTOS PHOTO_FOLDER CONFIG NEGATIVES [OPTION...]
NEGATIVES: those an anchor must have, of a batch of 64.
"""
import os
import subprocess
import sys

import program as p


def main():
    cltrain = p.Program(sys.argv[1])
    make_photos, photos, config, negatives = sys.argv[2:6]
    subprocess.run(["/usr/bin/python3", make_photos, photos], check=True)
    with p.temporary_folder() as folder:
        run_dir = os.path.join(folder, "large")
        code, output = cltrain.run(8, ["--config", config, f"data.root={photos}",
                                       "model.width=0.25", "train.global_batch=64",
                                       "train.steps=2", "device=cpu", "metrics.enabled=false",
                                       f"run.dir={run_dir}", *sys.argv[6:]], timeout=900)
        p.check(code == 0, f"exit {code}\n{output}")
        p.check([s["step"] for s in p.read_steps(run_dir)] == [1, 2], "two steps expected")
        summary = p.summary(run_dir)
        p.check(summary["ranks"] == 8 and summary["negatives_per_anchor"] == int(negatives),
                str(summary))
        p.check("Evaluation by labels is off" in output,
                f"nothing says that evaluation by labels is off:\n{output}")
    print(f"{config}, 8 ranks, 224 pixels: two steps")


if __name__ == "__main__":
    main()

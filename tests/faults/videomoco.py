#!/usr/bin/python3
"""VideoMoCo as a program, on videos that ffmpeg makes: both configs start; a run with a video too
short for its clips goes on and lists it, up to data.max_bad_ratio; a run that is stopped in the
middle, while the generator plays, and continued has the state of one that was not.

usage: videomoco.py CLTRAIN
"""
import json
import os
import pathlib
import signal
import sys

import program as p
from bad_videos import make_videos

TINY = ["--config", "videomoco_small.yaml", "data.frames=4", "data.stride=2", "augment.size=32",
        "model.width=0.125", "train.global_batch=5", "train.steps=60", "videomoco.queue=13",
        "videomoco.generator_start=0.2", "checkpoint.every=4", "eval.enabled=false",
        "metrics.enabled=false"]


def run(cltrain, arguments, expected=0):
    code, output = cltrain.run(2, arguments)
    p.check(code == expected, f"exit {code}, not {expected}: {' '.join(arguments)}\n{output}")
    return output


def check_configs(cltrain, folder):
    for config, settings in (
            ("videomoco_small.yaml", []),
            ("videomoco_r2plus1d_large.yaml", ["model.width=0.125", "augment.size=48",
                                               "videomoco.queue=1000", "train.global_batch=8"])):
        for start in ("0", "1"):
            run_dir = folder / f"{config}-{start}"
            run(cltrain, ["--config", config, f"data.root={folder / 'good'}", "train.steps=2",
                          "data.drop_last=false", f"videomoco.generator_start={start}", *settings,
                          "metrics.enabled=false", f"run.dir={run_dir}"])
            p.check(len(p.read_steps(run_dir)) == 2, f"{config}: two steps expected")


def check_short(cltrain, folder):
    make_videos(folder / "short", 6)
    make_videos(folder / "short" / "one", 1, frames=5)
    arguments = [*TINY, f"data.root={folder / 'short'}", "train.steps=6"]
    output = run(cltrain, [*arguments, "data.max_bad_ratio=0.5", f"run.dir={folder / 'listed'}"])
    lines = (folder / "listed" / "bad_samples.jsonl").read_text().splitlines()
    kinds = {json.loads(line)["kind"] for line in lines}
    p.check(kinds == {"too_short"}, f"listed: {lines}\n{output}")
    output = run(cltrain, [*arguments, "data.max_bad_ratio=0.01", f"run.dir={folder / 'ended'}"], 3)
    p.check("max_bad_ratio" in output, output)


def check_stop(cltrain, folder):
    arguments = [*TINY, f"data.root={folder / 'good'}"]
    whole, stopped = folder / "whole", folder / "stopped"
    run(cltrain, [*arguments, f"run.dir={whole}"])
    process = cltrain.start(2, [*arguments, f"run.dir={stopped}"])
    p.wait_until(lambda: len(p.read_steps(stopped)) >= 20 or process.poll() is not None, 120,
                 "20 steps")
    for pid in p.rank_pids(process.pid).values():
        os.kill(pid, signal.SIGUSR1)
    output, _ = process.communicate(timeout=60)
    p.check(process.returncode == 75, f"exit {process.returncode}, not 75\n{output}")
    done = len(p.read_steps(stopped))
    p.check(20 <= done < 60, f"stopped after {done} steps")
    output = run(cltrain, [*arguments, f"run.dir={stopped}"])
    p.check(f"resumed at step {done}" in output, output)
    p.check(p.summary(stopped)["state_sha256"] == p.summary(whole)["state_sha256"],
            "another state than the run that was not stopped")
    return done


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        make_videos(folder / "good", 12, frames=40)
        check_configs(cltrain, folder)
        check_short(cltrain, folder)
        done = check_stop(cltrain, folder)
    print(f"configs start, short videos are listed, a run stopped at step {done} goes on as if not")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""VideoMoCo as a program, on videos that ffmpeg makes: both configs start; a run with a video too
short for its clips goes on and lists it, up to data.max_bad_ratio; a run that is stopped or killed in
the middle, while the generator plays, and continued has the state of one that was not; going on with
other numbers of ranks is the run of one rank.

usage: videomoco.py CLTRAIN
"""
import json
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


def check_refusals(cltrain, folder):
    for option, message in (("data.frames=3", "drops no whole frame"),
                            ("augment.size=10", "augment.size=10 is too small"),
                            ("videomoco.momentum=1.5", "below 1, as 0.999")):
        output = run(cltrain, [*TINY, f"data.root={folder / 'good'}", option,
                               f"run.dir={folder / 'refused'}"], 2)
        p.check(message in output, output)


def check_ends(cltrain, folder):
    """Both kinds: told to stop, all ranks; and killed, one of them."""
    arguments = [*TINY, f"data.root={folder / 'good'}"]
    run(cltrain, [*arguments, f"run.dir={folder / 'whole'}"])
    for end, victims in ((signal.SIGUSR1, (0, 1)), (signal.SIGKILL, (1,))):
        ended = folder / end.name
        code, output = p.end_during(cltrain, [*arguments, f"run.dir={ended}"], ended, 20, end,
                                    victims)
        told = end == signal.SIGUSR1
        p.check(code == 75 or not told, f"{end.name}: exit {code}\n{output}")
        done = len(p.read_steps(ended))
        p.check(20 <= done < 60, f"{end.name}: ended after {done} steps")
        output = run(cltrain, [*arguments, f"run.dir={ended}"])
        resumed = int(output.split("resumed at step ")[1].split()[0])
        p.check(resumed == done if told else done - 4 <= resumed <= done, f"{done} steps\n{output}")
        p.check(p.summary(ended)["state_sha256"] == p.summary(folder / "whole")["state_sha256"],
                f"{end.name}: another state than the run that was not ended")


def check_other_ranks(cltrain, folder):
    """Generator, queue and both optimisers, in float64."""
    arguments = [*TINY, f"data.root={folder / 'good'}", "run.dtype=float64",
                 "optim.schedule=constant", "videomoco.generator_start=0"]

    def go_on(name, ranks, steps):
        code, output = cltrain.run(ranks, [*arguments, f"train.steps={steps}",
                                           f"run.dir={folder / name}"])
        p.check(code == 0, f"{ranks} ranks to step {steps}: exit {code}\n{output}")

    go_on("alone", 1, 9)
    for ranks, steps in ((3, 3), (2, 6), (4, 9)):
        go_on("moved", ranks, steps)
    for one, other in zip(p.read_steps(folder / "alone"), p.read_steps(folder / "moved"),
                          strict=True):
        p.check(one["ids_hash"] == other["ids_hash"], f"step {one['step']}: another batch")
        for a, b in ((one["loss"], other["loss"]), (one["scalars"]["generator_change"],
                                                    other["scalars"]["generator_change"])):
            p.check(abs(a - b) < 1e-9 * abs(a), f"{one}\n{other}")


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        make_videos(folder / "good", 12, frames=40)
        check_configs(cltrain, folder)
        check_short(cltrain, folder)
        check_refusals(cltrain, folder)
        check_ends(cltrain, folder)
        check_other_ranks(cltrain, folder)
    print("configs start, short videos are listed, runs that were ended or moved go on as if not")


if __name__ == "__main__":
    main()

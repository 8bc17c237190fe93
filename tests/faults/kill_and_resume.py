#!/usr/bin/python3
"""SIGKILL of any rank at any moment, then the same command again: the state at the end is that of a
run that was never interrupted, and metrics.jsonl holds each step exactly once.

usage: kill_and_resume.py CLTRAIN [TRIES [CONFIG [OPTION...]]]
"""
import glob
import os
import random
import re
import signal
import sys
import time

import program as p

RANKS, STEPS, EVERY = 3, 120, 5


def arguments(run_dir, every):
    return p.small(*sys.argv[3:4]) + sys.argv[4:] + [
        f"train.steps={STEPS}", f"checkpoint.every={every}", f"run.dir={run_dir}"]


def kill_once(cltrain, run_dir, every, moment, rng):
    """Starts the command and kills one rank at `moment`: seconds after the start (start-up
    included), ("step", n) when n steps are on record, or "checkpoint" while one is being written.
    Returns the steps on record before the kill, or None if the run was over first."""
    process = cltrain.start(RANKS, arguments(run_dir, every))
    started = time.monotonic()
    victim = rng.randrange(RANKS)
    temporary = os.path.join(run_dir, "checkpoints", ".step-*.tmp")

    def reached():
        if moment == "checkpoint":
            return glob.glob(temporary)
        if isinstance(moment, tuple):
            return len(p.read_steps(run_dir)) >= moment[1]
        return time.monotonic() - started > moment

    while process.poll() is None and not reached():
        time.sleep(0.0005)
    if isinstance(moment, tuple):
        time.sleep(rng.uniform(0, 0.03))  # anywhere within a step
    pids = p.rank_pids(process.pid)
    if process.poll() is not None or victim not in pids:
        process.communicate()
        return None
    before = len(p.read_steps(run_dir))
    os.kill(pids[victim], signal.SIGKILL)
    killed = time.monotonic()
    output, _ = process.communicate(timeout=30)
    seconds = time.monotonic() - killed
    p.check(seconds < 10, f"the other ranks took {seconds:.1f} s to end")
    p.check(process.returncode != 0, "a killed run returned 0")
    p.check(re.search(rf"rank {victim}\b", output), f"no message names rank {victim}:\n{output}")
    return before


def finish(cltrain, run_dir, every, before, name):
    code, output = cltrain.run(RANKS, arguments(run_dir, every))
    p.check(code == 0, f"{name}: the continued run returned {code}:\n{output}")
    resumed = re.search(r"resumed at step (\d+)", output)
    # A kill behind the last write leaves a finished run.
    at = STEPS if "this run is finished" in output else int(resumed.group(1)) if resumed else 0
    p.check(before is None or before - at <= every,
            f"{name}: {before} steps were done, but it resumed at {at}")
    return at


def main():
    cltrain = p.Program(sys.argv[1])
    tries = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    seed = int(os.environ.get("CLTRAIN_TEST_SEED", time.time()))
    print(f"seed {seed} (CLTRAIN_TEST_SEED repeats it)")
    rng = random.Random(seed)
    with p.temporary_folder() as folder:
        whole = os.path.join(folder, "whole")
        started = time.monotonic()
        code, output = cltrain.run(RANKS, arguments(whole, EVERY))
        length = time.monotonic() - started
        p.check(code == 0, f"the uninterrupted run returned {code}:\n{output}")
        expected, steps = p.summary(whole), p.read_steps(whole)
        kills = 0
        for number in range(tries):
            run_dir = os.path.join(folder, f"try{number}")
            during_checkpoint = number % 3 == 2
            every = 1 if during_checkpoint else EVERY
            before, at = None, []
            for _ in range(1 + number % 2):  # every other try is killed twice in a row
                done = len(p.read_steps(run_dir))
                moment = ("checkpoint" if during_checkpoint else
                          ("step", rng.randrange(done, STEPS)) if number % 3 == 1 else
                          rng.uniform(0.3, length))
                reached = kill_once(cltrain, run_dir, every, moment, rng)
                if reached is not None:
                    kills += 1
                    before = reached
                at.append(f"{moment:.2f} s" if isinstance(moment, float) else str(moment))
            resumed = finish(cltrain, run_dir, every, before, f"try {number}")
            got, lines = p.summary(run_dir), p.read_steps(run_dir)
            p.check([line["step"] for line in lines] == list(range(1, STEPS + 1)),
                    f"try {number}: metrics.jsonl does not hold each step exactly once")
            for line, reference in zip(lines, steps):
                for key in ("loss", "lr", "ids_hash", "epoch"):
                    p.check(line[key] == reference[key],
                            f"try {number}: step {line['step']}: {key} {line[key]}, "
                            f"uninterrupted {reference[key]}")
            p.check(got["state_sha256"] == expected["state_sha256"],
                    f"try {number}: another state than the uninterrupted run's")
            print(f"try {number}: killed at {', '.join(at)} ({before} steps), resumed at "
                  f"{resumed}: same state", flush=True)
        p.check(kills > 0, "no run was hit in time: nothing was tested")
        print(f"{kills} kills, all continued to the same state {expected['state_sha256'][:16]}")


if __name__ == "__main__":
    main()

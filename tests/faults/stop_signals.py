#!/usr/bin/python3
"""Stop requests: SIGUSR1 to mpirun, or SIGTERM to one rank, ends the run at a step boundary with a
checkpoint and exit code 75; the same command continues to the state of an uninterrupted run. A rank
that is stopped (SIGSTOP) is noticed by its peers within dist.timeout: exit code 71.

usage: stop_signals.py CLTRAIN
"""
import os
import re
import signal
import sys
import time

import program as p

RANKS, STEPS = 3, 60


def arguments(run_dir):
    return p.SMALL + [f"train.steps={STEPS}", "checkpoint.every=1000", f"run.dir={run_dir}"]


def stop(cltrain, run_dir, send):
    process = cltrain.start(RANKS, arguments(run_dir))
    p.wait_until(lambda: len(p.read_steps(run_dir)) >= 10, 60, "ten steps")
    send(process)
    output, _ = process.communicate(timeout=60)
    p.check(process.returncode == 75, f"returned {process.returncode}, not 75:\n{output}")
    p.check("stopped with a checkpoint, run me again" in output, output)
    done = len(p.read_steps(run_dir))
    p.check(done < STEPS, "the run was over before the signal came")
    code, output = cltrain.run(RANKS, arguments(run_dir))
    p.check(code == 0, f"the continued run returned {code}:\n{output}")
    p.check(f"resumed at step {done}\n" in output, f"{done} steps were done:\n{output}")
    return p.summary(run_dir)["state_sha256"]


def hang(cltrain, run_dir):
    process = cltrain.start(RANKS, arguments(run_dir) + ["dist.timeout=2"])
    p.wait_until(lambda: len(p.read_steps(run_dir)) >= 5, 60, "five steps")
    pids = p.rank_pids(process.pid)
    os.kill(pids[1], signal.SIGSTOP)
    try:
        output, _ = process.communicate(timeout=30)
    finally:
        try:
            os.kill(pids[1], signal.SIGKILL)
        except ProcessLookupError:
            pass
    p.check(process.returncode == 71, f"returned {process.returncode}, not 71:\n{output}")
    p.check(re.search(r"rank [02]: \w+ #\d+ of group '\w+' has waited", output), output)


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        whole = os.path.join(folder, "whole")
        code, output = cltrain.run(RANKS, arguments(whole))
        p.check(code == 0, output)
        expected = p.summary(whole)["state_sha256"]
        code, output = cltrain.run(RANKS, arguments(whole))
        p.check(code == 0 and "this run is finished" in output,
                f"a finished run returned {code}:\n{output}")
        senders = {
            "USR1 to mpirun": lambda process: os.kill(process.pid, signal.SIGUSR1),
            "TERM to rank 2": lambda process: os.kill(p.rank_pids(process.pid)[2], signal.SIGTERM),
        }
        for number, (name, send) in enumerate(senders.items()):
            started = time.monotonic()
            got = stop(cltrain, os.path.join(folder, f"stop{number}"), send)
            p.check(got == expected, f"{name}: another state than the uninterrupted run's")
            print(f"{name}: stopped, continued, same state ({time.monotonic() - started:.1f} s)")
        hang(cltrain, os.path.join(folder, "hang"))
        print("a stopped rank is noticed")


if __name__ == "__main__":
    main()

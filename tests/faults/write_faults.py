#!/usr/bin/python3
"""A disk that is full, or a run directory that is read-only or gone: training goes on and says so,
tries again at the next checkpoint, and ends as if nothing had been; after checkpoint.max_failures it
ends with exit code 74 and its earlier checkpoint continues.

Needs root and a private mount namespace (unshare -m): a tmpfs of a few MB is the full disk. Where
that is not allowed the test says so and returns 77 (skipped).

usage: write_faults.py CLTRAIN
"""
import os
import pathlib
import re
import subprocess
import sys

import program as p

STEPS = 60
MEGABYTES = 24  # room for two checkpoints and one in the making


def arguments(run_dir, *more):
    return p.SMALL + [f"train.steps={STEPS}", "checkpoint.every=10", "checkpoint.keep=1",
                      f"run.dir={run_dir}", *more]


def in_private_mounts():
    """Starts this script again where its mounts are its own."""
    if os.environ.get("CLTRAIN_PRIVATE_MOUNTS"):
        return
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"],
                           capture_output=True, text=True)
    if probe.returncode != 0:
        print("skipped: no private tmpfs here:", probe.stderr.strip())
        sys.exit(77)
    os.environ["CLTRAIN_PRIVATE_MOUNTS"] = "1"
    os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def fill(disk):
    """Takes what room is left; returns the file to remove."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    return ballast


def checkpoint_steps(run_dir):
    return sorted(int(path.name[5:]) for path in (run_dir / "checkpoints").glob("step-*"))


def check_record(run_dir, expected):
    """Each step once, and the state of an uninterrupted run."""
    steps = [line["step"] for line in p.read_steps(run_dir)]
    p.check(steps == list(range(1, STEPS + 1)), f"steps on record: {steps}")
    p.check(p.summary(run_dir)["state_sha256"] == expected,
            "another state than the uninterrupted run's")


def passing_fault(cltrain, run_dir, expected, what, begin, end):
    """A fault that begins after the first checkpoint and is over two warnings later."""
    process = cltrain.start(2, arguments(run_dir, "checkpoint.max_failures=1000"))
    p.wait_until(lambda: checkpoint_steps(run_dir), 60, "the first checkpoint")
    begin()
    output = ""
    warnings = 0
    for line in process.stdout:
        output += line
        if re.search(r"WARNING: step \d+: .*failures in a row.*tries again", line):
            warnings += 1
            if warnings == 2:
                end()
    process.wait(timeout=120)
    p.check(warnings >= 2, f"{what}: no two warnings:\n{output}")
    p.check(process.returncode == 0, f"{what}: returned {process.returncode}:\n{output}")
    check_record(run_dir, expected)
    print(f"{what}: {warnings} warnings, then finished with the same state")


def lasting_fault(cltrain, run_dir, expected, disk):
    process = cltrain.start(2, arguments(run_dir, "checkpoint.max_failures=2"))
    p.wait_until(lambda: checkpoint_steps(run_dir), 60, "the first checkpoint")
    ballast = fill(disk)
    output, _ = process.communicate(timeout=120)
    p.check(process.returncode == 74, f"returned {process.returncode}, not 74:\n{output}")
    p.check("2 of at most 2 failures in a row" in output, output)
    ballast.unlink()
    code, output = cltrain.run(2, arguments(run_dir, "checkpoint.max_failures=2"))
    p.check(code == 0 and "resumed at step" in output, f"the continued run returned {code}:\n{output}")
    check_record(run_dir, expected)
    print("a disk that stays full: 74, and the same command continues to the same state")


def main():
    in_private_mounts()
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        code, output = cltrain.run(2, arguments(folder / "whole"))
        p.check(code == 0, output)
        expected = p.summary(folder / "whole")["state_sha256"]

        disk = folder / "disk"
        disk.mkdir()
        mount("-t", "tmpfs", "-o", f"size={MEGABYTES}m", "none", str(disk))
        ballast = []
        passing_fault(cltrain, disk / "full", expected, "full disk",
                      lambda: ballast.append(fill(disk)), lambda: ballast.pop().unlink())
        run_dir = disk / "gone"
        passing_fault(cltrain, run_dir, expected, "run directory gone",
                      lambda: run_dir.rename(disk / "elsewhere"),
                      lambda: (disk / "elsewhere").rename(run_dir))
        lasting_fault(cltrain, disk / "stays-full", expected, disk)
        # A mount is made read-only for new writers at once; files open for writing keep it writable,
        # so the checkpoints' folder is covered by a read-only one.
        run_dir = disk / "read-only"
        target = run_dir / "checkpoints"

        def cover():
            mount("--bind", str(target), str(target))
            mount("-o", "remount,bind,ro", str(target))

        passing_fault(cltrain, run_dir, expected, "read-only checkpoints", cover,
                      lambda: subprocess.run(["umount", "-l", str(target)], check=True))
        subprocess.run(["umount", "-l", str(disk)], check=True)


if __name__ == "__main__":
    main()

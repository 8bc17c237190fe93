#!/usr/bin/python3
"""TensorBoard's own reader sees of a run that was killed and continued what metrics.jsonl and
evaluations.jsonl say: each step once, the same values to float's precision.

usage: tensorboard_test.py CLTRAIN
"""
import collections
import json
import math
import os
import pathlib
import signal
import sys

import numpy
from tensorboard.backend.event_processing import event_accumulator, event_file_loader

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))
import program as p  # noqa: E402

# The evaluation of step 24 brings steps 21 to 24 to the file; the kill takes them back.
RANKS, STEPS, CHECKPOINT, EVALUATION, EVERY = 2, 45, 10, 12, 4


def arguments(folder, *more):
    return [a for a in p.SMALL if not a.startswith("eval.")] + [
        f"run.dir={folder / 'run'}", f"data.index_list={folder / 'ids.npy'}",
        f"train.steps={STEPS}", f"checkpoint.every={CHECKPOINT}", "eval.enabled=true",
        f"eval.every={EVALUATION}", "eval.baselines=true", "metrics.tensorboard=true",
        f"metrics.every={EVERY}", *more]


def kill_after(cltrain, folder, steps):
    process = cltrain.start(RANKS, arguments(folder))
    try:
        p.wait_until(lambda: process.poll() is not None or
                     len(p.read_steps(folder / "run")) >= steps, 240, f"{steps} steps")
        p.check(process.poll() is None, "the run ended before it was killed")
        for pid in p.rank_pids(process.pid).values():
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def steps_in(path):
    """Steps of the points in one file, as they are, without purging; the file must begin well."""
    events = list(event_file_loader.EventFileLoader(str(path)).Load())
    p.check(events[0].file_version == "brain.Event:2", f"{path} begins with {events[0]}")
    p.check(events[1].HasField("session_log"), f"{path} goes on with {events[1]}")
    return [event.step for event in events[2:] if event.summary.value]


def same(tag, points, expected):
    """`points` are TensorBoard's, `expected` maps step to value."""
    got = [point.step for point in points]
    p.check(got == sorted(expected), f"{tag}: steps {got}, the record has {sorted(expected)}")
    for point in points:
        p.check(math.isclose(point.value, expected[point.step], rel_tol=1e-6, abs_tol=1e-30),
                f"{tag} at step {point.step}: {point.value}, not {expected[point.step]}")


def expected_of_steps(lines, resumed):
    """{tag: {step: value}} of what metrics.jsonl holds."""
    expected = collections.defaultdict(dict)
    window = []
    for line in lines:
        step = line["step"]
        for tag, key in {"loss": "loss", "learning_rate": "lr", "gradient_norm": "gradient_norm",
                         "samples_per_second": "samples_per_second"}.items():
            expected[tag][step] = line[key]
        if "parameter_norm" in line:
            expected["parameter_norm"][step] = line["parameter_norm"]
        for group in ("scalars", "similarity"):
            for name, value in line.get(group, {}).items():
                expected[f"{group}/{name}"][step] = value
        if step == resumed + 1:
            window = []  # a session's means are of its own steps
        window.append(line)
        if step % EVERY == 0:
            for tag, key in {"step_seconds": "step_seconds",
                             "loader_ready_batches": "batches_ready",
                             "slowest_lag_seconds": "slowest_lag_seconds"}.items():
                expected[tag][step] = sum(w[key] for w in window) / len(window)
            phases = {name for w in window for name in w["phase_seconds"]}
            for name in phases:
                expected["phase_seconds/" + name][step] = sum(
                    w["phase_seconds"].get(name, 0) for w in window) / len(window)
            expected["memory/resident_bytes"][step] = line["resident_bytes"]
            window = []
    return expected


def expected_of_evaluations(path):
    expected = collections.defaultdict(dict)
    for line in map(json.loads, path.read_text().splitlines()):
        for name, value in {**line["scores"], "seconds": line["seconds"]}.items():
            expected[f"evaluation/{line['probe']}/{name}"][line["step"]] = value
    return expected


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as name:
        folder = pathlib.Path(name)
        numpy.save(folder / "ids.npy", numpy.arange(600))
        kill_after(cltrain, folder, 26)
        code, output = cltrain.run(RANKS, arguments(folder))
        p.check(code == 0, f"the continued run returned {code}:\n{output}")
        resumed = 2 * CHECKPOINT
        p.check(f"resumed at step {resumed}\n" in output, output)
        files = sorted((folder / "run/tensorboard").iterdir())
        p.check(len(files) == 2, f"{files}: expected a file a session")
        p.check(2 * EVALUATION in steps_in(files[0]), "nothing was written that a restart voids")
        p.check(min(steps_in(files[1])) > resumed, "the second file repeats a step")

        seen = event_accumulator.EventAccumulator(
            str(folder / "run/tensorboard"), size_guidance={event_accumulator.SCALARS: 0})
        seen.Reload()
        tags = set(seen.Tags()["scalars"])
        expected = expected_of_steps(p.read_steps(folder / "run"), resumed)
        p.check(sorted(expected["loss"]) == list(range(1, STEPS + 1)), "metrics.jsonl has gaps")
        evaluations = expected_of_evaluations(folder / "run/evaluations.jsonl")
        p.check("evaluation/knn/top1" in evaluations, f"{sorted(evaluations)}")
        for tag, points in {**expected, **evaluations}.items():
            p.check(tag in tags, f"{tag} is not among {sorted(tags)}")
            if not tag.startswith("phase_seconds/"):
                same(tag, seen.Scalars(tag), points)
                continue
            # A phase that a window had nothing of is 0 there, once it was seen in the session.
            got = {point.step: point.value for point in seen.Scalars(tag)}
            p.check(len(got) == len(seen.Scalars(tag)), f"{tag}: a step is there twice")
            for step, value in points.items():
                p.check(math.isclose(got[step], value, rel_tol=1e-6),
                        f"{tag} at step {step}: {got[step]}, the record says {value}")
            p.check(all(value == 0 for step, value in got.items() if step not in points), tag)
        checkpoints = [point.step for point in seen.Scalars("checkpoint/seconds")]
        p.check(checkpoints == [10, 20, 30, 40, STEPS], f"checkpoints of steps {checkpoints}")
        print(f"{len(tags)} tags, each step of {STEPS} once, killed after "
              f"{max(steps_in(files[0]))} and continued from {resumed}")


if __name__ == "__main__":
    main()

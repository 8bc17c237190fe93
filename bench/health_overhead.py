#!/usr/bin/env python3
"""What monitoring costs: the time of a step with everything on (measures of similarity and norms
every 50 steps, Prometheus scraped once a second, TensorBoard) against the same run with everything
off, in turn, several rounds; medians, and the overhead as a share of the step.

The time of a step is the sum of phase_seconds of its line in metrics.jsonl without checkpoint and
evaluation: the whole time since the line before, that of the sinks included. metrics.jsonl itself
and the gradient's norm are in both: they cannot be turned off.

usage: health_overhead.py [--cltrain build/bin/cltrain] [--ranks 2] [--rounds 5] [--steps 200]
                          [--config simclr_fashion.yaml] [key=value ...]
e.g. model.width=0.25 train.global_batch=32: steps of few milliseconds, the worst case.
"""
import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import threading
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
WARM_UP, EVERY = 50, 50
MODES = {
    "off": ["metrics.enabled=false", "metrics.tensorboard=false", "metrics.every=1000000"],
    "on": ["metrics.enabled=true", "metrics.tensorboard=true", f"metrics.every={EVERY}"],
}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Scraper(threading.Thread):
    """One scrape a second, as Prometheus would; counts those that were answered."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.answered, self.over = 0, threading.Event()
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def run(self):
        while not self.over.wait(1):
            try:
                with self.opener.open(self.url, timeout=1) as answer:
                    self.answered += bool(answer.read())
            except OSError:
                pass

    def end(self):
        self.over.set()
        self.join()
        return self.answered


def seconds_a_step(options, mode, folder):
    run_dir, port = os.path.join(folder, f"{mode}-{len(os.listdir(folder))}"), free_port()
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    scraper = Scraper(port)
    if mode == "on":
        scraper.start()
    subprocess.run(["mpirun", "-n", str(options.ranks), "--oversubscribe", "--bind-to", "none",
                    options.cltrain, "--config", options.config, "eval.enabled=false",
                    "metrics.progress=false", "checkpoint.every=1000000",
                    f"train.steps={WARM_UP + options.steps}", f"run.dir={run_dir}",
                    f"metrics.port={port}", *MODES[mode], *options.overrides],
                   check=True, env=environment, stdout=subprocess.DEVNULL)
    answered = scraper.end() if mode == "on" else 0
    lines = [json.loads(line) for line in open(os.path.join(run_dir, "metrics.jsonl"))][WARM_UP:]
    measured = sum("similarity" in line for line in lines)
    if mode == "on" and measured != options.steps // EVERY:
        raise SystemExit(f"{measured} lines hold measures of similarity, expected "
                         f"{options.steps // EVERY}: nothing would be compared")
    # The mean: what is done every 50 steps does not show in a median.
    times = [sum(seconds for phase, seconds in line["phase_seconds"].items()
                 if phase not in ("checkpoint", "evaluation")) for line in lines]
    return statistics.fmean(times), answered


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cltrain", default=str(HERE.parent / "build/bin/cltrain"))
    parser.add_argument("--config", default="simclr_fashion.yaml")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_intermixed_args()
    options.steps -= options.steps % EVERY
    if options.steps == 0:
        parser.error(f"--steps must be at least {EVERY}")
    times, scrapes = {"off": [], "on": []}, 0
    with tempfile.TemporaryDirectory(prefix="cltrain-bench-") as folder:
        for number in range(options.rounds):
            for mode in ("off", "on") if number % 2 == 0 else ("on", "off"):
                seconds, answered = seconds_a_step(options, mode, folder)
                times[mode].append(seconds)
                scrapes += answered
    for mode, values in times.items():
        print(f"monitoring {mode:3}  {1e3 * statistics.median(values):9.3f} ms a step   "
              f"({1e3 * min(values):.3f} .. {1e3 * max(values):.3f}, {len(values)} rounds)")
    shares = [on / off - 1 for on, off in zip(times["on"], times["off"])]
    print(f"overhead        {100 * statistics.median(shares):+9.2f} % of a step  "
          f"({100 * min(shares):+.2f} .. {100 * max(shares):+.2f}), {scrapes} scrapes answered")


if __name__ == "__main__":
    main()

"""What the tests of the whole program share: starting it under mpirun, reading what it leaves.

Standard library only. Every process started here is ended here.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

def small(config="simclr_fashion.yaml"):
    """A run of one of the Fashion-MNIST configs whose steps take milliseconds."""
    return ["--config", config, "model.width=0.25", "train.global_batch=33",
            "optim.warmup_epochs=0", "eval.enabled=false", "metrics.enabled=false",
            "metrics.progress_seconds=0.2"]


SMALL = small()


class Program:
    def __init__(self, path):
        self.path = str(path)

    def command(self, ranks, arguments):
        return ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", self.path,
                *arguments]

    def start(self, ranks, arguments):
        return subprocess.Popen(self.command(ranks, arguments), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def run(self, ranks, arguments, timeout=300):
        process = self.start(ranks, arguments)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            fail(f"hangs: {' '.join(self.command(ranks, arguments))}\n{output}")
        return process.returncode, output


class Runs:
    """Commands in one test's folder. One rank goes without mpirun, which takes seconds to notice that a
    program has ended with an error."""

    def __init__(self, cltrain, folder):
        self.cltrain, self.folder = cltrain, folder

    def __call__(self, arguments, expected=0, ranks=1):
        words = [str(a) for a in arguments]
        if ranks == 1:
            done = subprocess.run([self.cltrain.path, *words], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=300)
            code, output = done.returncode, done.stdout
        else:
            code, output = self.cltrain.run(ranks, words)
        check(code == expected, f"exit {code}, not {expected}: {' '.join(words)}\n{output}")
        return output


def rank_pids(mpirun_pid):
    """Process ids of the ranks below one mpirun, by rank."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            if int(stat.rsplit(")", 1)[1].split()[1]) != mpirun_pid:
                continue
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                    found[int(variable.split(b"=")[1])] = int(entry.name)
        except (OSError, ValueError, IndexError):
            continue
    return found


def end_during(cltrain, arguments, run_dir, least, end, victims):
    """Two ranks; sends the signal `end` to the ranks `victims` once `least` steps are on record.
    Returns the exit code and the output."""
    process = cltrain.start(2, arguments)
    wait_until(lambda: len(read_steps(run_dir)) >= least or process.poll() is not None, 120,
               f"step {least} in {run_dir}")
    pids = rank_pids(process.pid)
    check(all(rank in pids for rank in victims),
          "the run was over before it was ended: nothing is shown")
    for rank in victims:
        os.kill(pids[rank], end)
    output, _ = process.communicate(timeout=60)
    check(process.returncode != 0, output)
    return process.returncode, output


def read_steps(run_dir):
    """The whole lines of metrics.jsonl."""
    path = pathlib.Path(run_dir) / "metrics.jsonl"
    if not path.exists():
        return []
    text = path.read_text()
    lines = text.split("\n")
    return [json.loads(line) for line in lines[:-1]]


def summary(run_dir):
    return json.loads((pathlib.Path(run_dir) / "summary.json").read_text())


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            fail(f"waited {seconds} s for {what}")
        time.sleep(0.005)


def fail(text):
    print(f"FAILED: {text}", flush=True)
    sys.exit(1)


def check(condition, text):
    if not condition:
        fail(text)


def temporary_folder():
    return tempfile.TemporaryDirectory(prefix="cltrain-test-")

#!/usr/bin/env python3
"""Images a second of whole training steps, loader included, at several numbers of ranks beside the
same step in eager PyTorch (bench/peer_simclr.py), in turn, several rounds; medians and ratios. Also
the share of the step that waits for data.

usage: throughput.py [--case fashion|cifar|cifar_bf16] [--cifar FOLDER] [--cltrain build/bin/cltrain]
                     [--torch FOLDER] [--ranks 1,2,4] [--rounds 3] [--steps 30]
                     [--peer-channels-last]
fashion: simclr_fashion.yaml as it is. cifar: simclr_cifar100.yaml with batches of 64, float32 or with
bfloat16 autocast; --cifar is the folder of CIFAR-100. --peer-channels-last lays the peer's network
and views out that way, which PyTorch does not do unasked. --torch is the folder of the LibTorch
wheel; its Python half runs the peer (with torchvision, tests/requirements.txt, for cifar).
"""
import argparse
import glob
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CASES = {
    "fashion": (["--config", "simclr_fashion.yaml"], []),
    "cifar": (["--config", "simclr_cifar100.yaml", "train.global_batch=64"],
              ["--model", "resnet18", "--batch", "64", "--steps", "8"]),
}
CASES["cifar_bf16"] = (CASES["cifar"][0] + ["run.autocast=bfloat16"],
                       CASES["cifar"][1] + ["--bfloat16"])


def cltrain_round(options, ranks, folder):
    run_dir = os.path.join(folder, f"w{ranks}-{len(os.listdir(folder))}")
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    subprocess.run(["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none",
                    options.cltrain, *CASES[options.case][0],
                    *([f"data.root={options.cifar}"] if "cifar" in options.case else []),
                    "eval.enabled=false",
                    "metrics.enabled=false", "metrics.progress=false",
                    f"train.steps={options.steps}", f"run.dir={run_dir}"],
                   check=True, env=environment, stdout=subprocess.DEVNULL)
    steps = [json.loads(line) for line in open(os.path.join(run_dir, "metrics.jsonl"))][3:]
    waited = sum(s["phase_seconds"]["data"] for s in steps) / sum(s["step_seconds"] for s in steps)
    return statistics.median(s["samples_per_second"] for s in steps), waited


def peer_round(options):
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), options.torch])
    environment = dict(os.environ, PYTHONPATH=path)
    result = subprocess.run([sys.executable, HERE / "peer_simclr.py", *CASES[options.case][1],
                             *(["--channels-last"] if options.peer_channels_last else []),
                             "--threads", str(os.cpu_count())], check=True, env=environment,
                            capture_output=True, text=True)
    return statistics.median(float(line) for line in result.stdout.split())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", default="fashion", choices=CASES)
    parser.add_argument("--cifar", default=str(HERE.parent / "../shared/datasets/cifar-100"))
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--cltrain", default=str(HERE.parent / "build/bin/cltrain"))
    parser.add_argument("--torch", default=next(iter(glob.glob(
        os.path.expanduser("~/.cache/cltrain/torch-*-full"))), ""))
    parser.add_argument("--peer-channels-last", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    all_ranks = [int(ranks) for ranks in options.ranks.split(",")]
    figures = {"peer": [], **{ranks: [] for ranks in all_ranks}}
    waits = {ranks: [] for ranks in all_ranks}
    with tempfile.TemporaryDirectory(prefix="cltrain-bench-") as folder:
        for _ in range(options.rounds):
            if options.torch:
                figures["peer"].append(peer_round(options))
            for ranks in all_ranks:
                speed, waited = cltrain_round(options, ranks, folder)
                figures[ranks].append(speed)
                waits[ranks].append(waited)
    peer = statistics.median(figures["peer"]) if figures["peer"] else None
    if peer:
        print(f"{options.case}: eager PyTorch, 1 process {peer:8.1f} images/s")
    for ranks in all_ranks:
        speed = statistics.median(figures[ranks])
        ratio = f"{speed / peer:5.2f} x PyTorch" if peer else ""
        print(f"{options.case}: cltrain, {ranks} rank(s)       {speed:8.1f} images/s  {ratio}  "
              f"waiting for data {100 * statistics.median(waits[ranks]):.1f} %")


if __name__ == "__main__":
    main()

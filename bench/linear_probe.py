#!/usr/bin/env python3
"""Training of a linear probe: cltrain's mini-batch step (eval/linear_probe.h) against the usual
loop of torch (nn.Linear, cross entropy, SGD with momentum, batches by indexing: no data loader),
and cltrain's L-BFGS against scikit-learn's LogisticRegression with the same objective. Same
features, threads and batches; one turn each, round after round; medians.

usage: linear_probe.py EVAL_BENCH [--rows 50000] [--width 512] [--classes 100] [--batch 256]
                       [--epochs 20] [--threads 2] [--rounds 5] [--sklearn 1]
`--epochs` is what a turn of the mini-batch loops takes; seconds are given for 100. `--sklearn` is
the number of scikit-learn's turns. Needs torch, numpy and scikit-learn (tests/requirements.txt);
EVAL_BENCH is build/bin/eval_bench.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
import time


def features(rng, options, np):
    labels = rng.integers(options.classes, size=options.rows)
    centres = rng.standard_normal((options.classes, options.width), dtype=np.float32)
    noise = rng.standard_normal((options.rows, options.width), dtype=np.float32)
    mixing = rng.standard_normal((options.width, options.width), dtype=np.float32)
    return (centres[labels] + 6 * noise) @ mixing / options.width ** 0.5, labels.astype(np.int64)


class TorchLoop:
    def __init__(self, vectors, labels, options, torch):
        self.torch, self.options = torch, options
        self.vectors, self.labels = torch.from_numpy(vectors), torch.from_numpy(labels)

    def epochs(self):
        torch, options = self.torch, self.options
        net = torch.nn.Linear(options.width, options.classes)
        optimizer = torch.optim.SGD(net.parameters(), lr=10, momentum=0.9, weight_decay=1e-6)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)
        started = time.perf_counter()
        for _ in range(options.epochs):
            order = torch.randperm(options.rows)
            for begin in range(0, options.rows, options.batch):
                some = order[begin:begin + options.batch]
                optimizer.zero_grad(set_to_none=True)
                torch.nn.functional.cross_entropy(net(self.vectors[some]),
                                                  self.labels[some]).backward()
                optimizer.step()
            schedule.step()
        seconds = time.perf_counter() - started
        with torch.no_grad():
            right = (net(self.vectors).argmax(1) == self.labels).float().mean()
        return seconds, float(right)


class Program:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def turn(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        seconds = float(self.process.stdout.readline())
        return seconds, float(self.process.stdout.readline().split()[0])

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    for name, value in (("rows", 50000), ("width", 512), ("classes", 100), ("batch", 256),
                        ("epochs", 20), ("threads", 2), ("rounds", 5), ("sklearn", 1)):
        parser.add_argument("--" + name, type=int, default=value)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression

    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    raw, labels = features(rng, options, np)
    scaled = (raw - raw.mean(0)) / raw.std(0) / options.width ** 0.5
    loop = TorchLoop(scaled, labels, options, torch)
    results = {name: [] for name in ("torch loop", "cltrain sgd", "sklearn lbfgs", "cltrain lbfgs")}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/vectors.npy", raw)
        np.save(f"{folder}/labels.npy", labels)
        program = Program([options.bench, "probe", f"{folder}/vectors.npy", f"{folder}/labels.npy",
                           str(options.classes), str(options.threads)])
        for turn in range(options.rounds):
            results["torch loop"].append(loop.epochs())
            results["cltrain sgd"].append(program.turn(f"sgd {options.epochs}"))
            if turn >= options.sklearn:
                continue
            started = time.perf_counter()
            model = LogisticRegression(C=1 / (1e-6 * options.rows), max_iter=100, tol=1e-5)
            model.fit(scaled, labels)
            results["sklearn lbfgs"].append(
                (time.perf_counter() - started, float(model.score(scaled, labels))))
            results["cltrain lbfgs"].append(program.turn("lbfgs 100"))
        program.end()
    print(f"{options.rows} x {options.width}, {options.classes} classes, batch {options.batch}, "
          f"{options.threads} threads; sgd: {options.epochs} epochs, seconds for 100")
    for peer, ours in (("torch loop", "cltrain sgd"), ("sklearn lbfgs", "cltrain lbfgs")):
        if not results[peer]:
            continue
        scale = 100 / options.epochs if ours == "cltrain sgd" else 1
        base = statistics.median(seconds for seconds, _ in results[peer])
        for name in (peer, ours):
            seconds = [scale * value for value, _ in results[name]]
            print(f"{name:14} median {statistics.median(seconds):8.2f} s (from {min(seconds):.2f} "
                  f"to {max(seconds):.2f})  {scale * base / statistics.median(seconds):5.2f} x the "
                  f"peer, accuracy on its rows {100 * results[name][-1][1]:.2f} %")


if __name__ == "__main__":
    main()

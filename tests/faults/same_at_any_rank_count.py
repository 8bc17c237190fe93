#!/usr/bin/python3
"""The program gives the same run at any number of ranks: in float64 equal losses (1e-9) and equal
ids_hash at every step; in float32 equal ids_hash at every step and the first loss to 1e-5.

usage: same_at_any_rank_count.py CLTRAIN WORK_FOLDER [CIFAR100_FOLDER]
Without the CIFAR-100 folder it runs simclr_fashion.yaml.
"""
import os
import sys

import program as p


def run(cltrain, folder, name, ranks, settings):
    run_dir = os.path.join(folder, name)
    code, output = cltrain.run(ranks, settings + [f"run.dir={run_dir}", "eval.enabled=false",
                                                  "metrics.enabled=false"], timeout=900)
    p.check(code == 0, f"{name}: exit {code}\n{output}")
    return p.read_steps(run_dir)


def compare(cltrain, folder, base, counts, steps64, batch64, steps32, batch32):
    settings = base + [f"train.steps={steps64}", f"train.global_batch={batch64}",
                       "run.dtype=float64"]
    runs = {w: run(cltrain, folder, f"f64-{w}", w, settings) for w in counts}
    for w, steps in runs.items():
        p.check(len(steps) == steps64, f"{w} ranks made {len(steps)} steps")
        for got, reference in zip(steps, runs[1]):
            p.check(got["ids_hash"] == reference["ids_hash"],
                    f"{w} ranks, step {got['step']}: another batch than on one rank")
            apart = abs(got["loss"] - reference["loss"]) / abs(reference["loss"])
            p.check(apart < 1e-9, f"{w} ranks, step {got['step']}: losses are {apart:.1e} apart")
    settings = base + [f"train.steps={steps32}", f"train.global_batch={batch32}"]
    runs = {w: run(cltrain, folder, f"f32-{w}", w, settings) for w in (1, max(counts))}
    one, many = runs[1], runs[max(counts)]
    p.check([s["ids_hash"] for s in one] == [s["ids_hash"] for s in many], "float32: other batches")
    apart = abs(one[0]["loss"] - many[0]["loss"]) / one[0]["loss"]
    p.check(apart < 1e-5, f"float32: the first losses are {apart:.1e} apart")
    print(f"{counts} ranks agree: float64 at {steps64} steps of {batch64}, float32 at {steps32} "
          f"steps of {batch32}")


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        if len(sys.argv) > 3:
            base = ["--config", "simclr_cifar100.yaml", f"data.root={sys.argv[3]}"]
            compare(cltrain, folder, base, (1, 3), 5, 25, 3, 96)
        else:
            base = ["--config", "simclr_fashion.yaml", "model.width=0.5"]
            compare(cltrain, folder, base, (1, 2, 3, 4), 6, 25, 20, 96)


if __name__ == "__main__":
    main()

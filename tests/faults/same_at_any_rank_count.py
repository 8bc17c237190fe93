#!/usr/bin/python3
"""The program gives the same run at any number of ranks: in float64 equal losses (1e-9) and equal
ids_hash at every step, also with the batch cut into micro-batches; in float32 equal ids_hash at
every step and the first loss to 1e-5.

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


def agree(what, steps, reference):
    p.check(len(steps) == len(reference), f"{what}: {len(steps)} steps, not {len(reference)}")
    for got, expected in zip(steps, reference):
        p.check(got["ids_hash"] == expected["ids_hash"],
                f"{what}, step {got['step']}: another batch than on one rank")
        apart = abs(got["loss"] - expected["loss"]) / abs(expected["loss"])
        p.check(apart < 1e-9, f"{what}, step {got['step']}: losses are {apart:.1e} apart")


def compare(cltrain, folder, base, counts, steps64, batch64, steps32, batch32):
    settings = base + [f"train.steps={steps64}", f"train.global_batch={batch64}",
                       "run.dtype=float64"]
    runs = {w: run(cltrain, folder, f"f64-{w}", w, settings) for w in counts}
    p.check(len(runs[1]) == steps64, f"{len(runs[1])} steps, not {steps64}")
    for w, steps in runs.items():
        agree(f"{w} ranks", steps, runs[1])
    settings = base + [f"train.steps={steps32}", f"train.global_batch={batch32}"]
    runs = {w: run(cltrain, folder, f"f32-{w}", w, settings) for w in (1, max(counts))}
    one, many = runs[1], runs[max(counts)]
    p.check([s["ids_hash"] for s in one] == [s["ids_hash"] for s in many], "float32: other batches")
    apart = abs(one[0]["loss"] - many[0]["loss"]) / one[0]["loss"]
    p.check(apart < 1e-5, f"float32: the first losses are {apart:.1e} apart")
    print(f"{counts} ranks agree: float64 at {steps64} steps of {batch64}, float32 at {steps32} "
          f"steps of {batch32}")


def compare_chunks(cltrain, folder, base, batch, chunk, ranks):
    """Micro-batches: with group norm the run without them; with batch norm, at any rank count."""
    settings = base + ["train.steps=4", f"train.global_batch={batch}", "run.dtype=float64"]
    cut = settings + [f"train.micro_batch={chunk}"]
    group = ["model.norm=group"]
    whole = run(cltrain, folder, "whole", 1, settings + group)
    agree("chunks, group norm", run(cltrain, folder, "chunks-group", ranks, cut + group), whole)
    agree("chunks, batch norm", run(cltrain, folder, "chunks-many", ranks, cut),
          run(cltrain, folder, "chunks-one", 1, cut))
    print(f"chunks of {chunk} of {batch} on {ranks} ranks agree")


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        if len(sys.argv) > 3:
            base = ["--config", "simclr_cifar100.yaml", f"data.root={sys.argv[3]}"]
            compare(cltrain, folder, base, (1, 3), 5, 25, 3, 96)
        else:
            base = ["--config", "simclr_fashion.yaml", "model.width=0.5"]
            compare(cltrain, folder, base, (1, 2, 3, 4), 6, 25, 20, 96)
            compare_chunks(cltrain, folder, base, 25, 7, 3)


if __name__ == "__main__":
    main()

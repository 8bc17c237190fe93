#!/usr/bin/python3
"""A run that goes on with another number of ranks, twice, is the run that one rank makes: in float64
equal batches and losses (1e-9) at every step, what is shared out over the ranks included.

usage: resume_on_other_ranks.py CLTRAIN CONFIG [OPTION...]
"""
import os
import sys

import program as p


def main():
    cltrain = p.Program(sys.argv[1])
    settings = p.small(sys.argv[2]) + sys.argv[3:] + ["run.dtype=float64",
                                                      "optim.schedule=constant"]

    def run(run_dir, ranks, steps):
        code, output = cltrain.run(ranks, settings + [f"train.steps={steps}",
                                                      f"run.dir={run_dir}"])
        p.check(code == 0, f"{ranks} ranks to step {steps}: exit {code}\n{output}")
        return output

    with p.temporary_folder() as folder:
        alone, moved = os.path.join(folder, "alone"), os.path.join(folder, "moved")
        run(alone, 1, 18)
        run(moved, 3, 6)
        for ranks, steps in ((2, 12), (4, 18)):
            output = run(moved, ranks, steps)
            p.check(f"resumed at step {steps - 6}" in output, f"not resumed:\n{output}")
        expected, got = p.read_steps(alone), p.read_steps(moved)
        p.check(len(expected) == len(got) == 18, f"{len(got)} steps, not 18")
        largest = 0
        for one, other in zip(expected, got):
            p.check(one["ids_hash"] == other["ids_hash"], f"step {one['step']}: another batch")
            largest = max(largest, abs(one["loss"] - other["loss"]) / abs(one["loss"]))
        p.check(largest < 1e-9, f"losses are up to {largest:.1e} apart")
        print(f"3 ranks, then 2, then 4: losses within {largest:.1e} of one rank's")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Bad input: one clear message from rank 0, the documented exit code, nothing lost, no hang.

usage: bad_input.py CLTRAIN [REPEATS]
"""
import os
import pathlib
import shutil
import sys

import program as p


def expect(cltrain, name, code, words, arguments, ranks=2):
    """Runs and checks exit code and message; returns the output."""
    got, output = cltrain.run(ranks, arguments, timeout=60)
    p.check(got == code, f"{name}: returned {got}, not {code}:\n{output}")
    for word in words:
        p.check(word in output, f"{name}: the message lacks '{word}':\n{output}")
    ours = [line for line in output.splitlines() if line.startswith("cltrain: ")]
    p.check(len(ours) == 1, f"{name}: {len(ours)} messages instead of one:\n{output}")
    print(f"{name}: exit {code}", flush=True)
    return output


def config_errors(cltrain, repeats):
    base = p.SMALL + ["run.dir=runs/never"]
    expect(cltrain, "unknown key", 2, ["train.global_batsch", "train.global_batch"],
           base + ["train.global_batsch=4"])
    expect(cltrain, "unknown method", 2, ["simclrr", "simclr"], base + ["method.name=simclrr"])
    expect(cltrain, "unknown model", 2, ["resnet19", "resnet18"], base + ["model.name=resnet19"])
    expect(cltrain, "unknown data set", 2, ["cifar11", "cifar10"], base + ["data.name=cifar11"])
    expect(cltrain, "wrong type", 2, ["train.steps", "many"], base + ["train.steps=many"])
    expect(cltrain, "out of range", 2, ["optim.momentum", "1.5"], base + ["optim.momentum=1.5"])
    expect(cltrain, "no such config", 2, ["simclr_fashon", "simclr_fashion"],
           ["--config", "simclr_fashon.yaml"])
    expect(cltrain, "no config", 2, ["--config"], [])
    expect(cltrain, "unknown flag", 2, ["--confg"], ["--confg", "simclr_fashion.yaml"])
    expect(cltrain, "batch smaller than ranks", 2, ["train.global_batch=2", "3 ranks"],
           base + ["train.global_batch=2"], ranks=3)
    expect(cltrain, "micro-batch larger than batch", 2,
           ["train.micro_batch=64", "train.global_batch=33"],
           base + ["train.micro_batch=64", "train.global_batch=33"])
    expect(cltrain, "micro-batch smaller than ranks", 2, ["train.micro_batch=2", "3 ranks"],
           base + ["train.micro_batch=2"], ranks=3)
    expect(cltrain, "temperature of zero", 2, ["simclr.temperature", "0"],
           base + ["simclr.temperature=0"])
    expect(cltrain, "unknown exchange", 2, ["loss.exchange", "balanced, ring"],
           base + ["loss.exchange=rings"])
    expect(cltrain, "CUDA kernels of the loss without a GPU", 2,
           ["loss.cuda_kernels=true", "device=cuda"], base + ["loss.cuda_kernels=true"])
    # Rank 0 must get its message out although every rank ends with an error.
    for number in range(repeats):
        got, output = cltrain.run(4, base + ["optim.lrr=1"], timeout=60)
        p.check(got == 2 and "optim.lrr" in output and "optim.lr" in output,
                f"try {number}: exit {got}:\n{output}")
    print(f"the message of a config error at 4 ranks was out {repeats} times of {repeats}")
    p.check(not os.path.exists("runs/never"), "a refused config left a run directory")


def data_errors(cltrain, folder):
    base = p.SMALL + [f"run.dir={folder}/data-run"]
    expect(cltrain, "missing data folder", 3, ["/nowhere", "data.root"],
           base + ["data.root=/nowhere"])
    damaged = pathlib.Path(folder) / "damaged"
    damaged.mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                 "t10k-labels-idx1-ubyte"):
        (damaged / name).write_bytes(b"\x00\x00\x08\x03garbage")
    expect(cltrain, "garbage data files", 3, ["train-images-idx3-ubyte"],
           base + [f"data.root={damaged}"])
    expect(cltrain, "CIFAR files that are not there", 3, ["data.root"],
           base + ["data.name=cifar10", f"data.root={damaged}"])


def run_directory_errors(cltrain, folder):
    run = f"{folder}/run"
    base = p.SMALL + [f"run.dir={run}", "checkpoint.every=2"]
    code, output = cltrain.run(2, base + ["train.steps=4"])
    p.check(code == 0, output)
    before = (pathlib.Path(run) / "summary.json").read_text()
    expect(cltrain, "run directory of another run", 4, ["run.seed", "1", "7"],
           base + ["train.steps=4", "run.seed=7"])
    p.check((pathlib.Path(run) / "summary.json").read_text() == before, "the other run was touched")
    foreign = pathlib.Path(folder) / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    expect(cltrain, "a folder that is no run", 4, ["thesis.tex", "run.dir"],
           p.SMALL + [f"run.dir={foreign}"])
    p.check(sorted(os.listdir(foreign)) == ["thesis.tex"], "a foreign folder was touched")
    # More steps are allowed, and the difference is said.
    code, output = cltrain.run(2, base + ["train.steps=6"])
    p.check(code == 0 and "train.steps: 4 -> 6" in output and "resumed at step 4" in output, output)


def checkpoint_errors(cltrain, folder):
    run = pathlib.Path(folder) / "damaged-run"
    base = p.SMALL + [f"run.dir={run}", "checkpoint.every=2", "checkpoint.keep=3"]
    code, output = cltrain.run(2, base + ["train.steps=4"])
    p.check(code == 0, output)
    newest = run / "checkpoints" / "step-000000004" / "state.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    code, output = cltrain.run(2, base + ["train.steps=6"])
    p.check(code == 0 and "resumed at step 2" in output and str(newest) in output
            and "damaged" in output, f"one flipped bit: exit {code}\n{output}")
    print("one flipped bit: named, the checkpoint before it taken")
    for state in (run / "checkpoints").glob("step-*/state.safetensors"):
        state.write_bytes(state.read_bytes()[:100])
    expect(cltrain, "every checkpoint damaged", 5, ["no sound checkpoint", "step-000000006"],
           base + ["train.steps=8"])
    other = pathlib.Path(folder) / "other-shapes"
    code, output = cltrain.run(2, p.SMALL + [f"run.dir={other}", "train.steps=2"])
    p.check(code == 0, output)
    config = other / "config.resolved.yaml"
    config.write_text(config.read_text().replace("head_out: 64", "head_out: 32"))
    expect(cltrain, "a checkpoint of other shapes", 5, ["head.linear2.weight", "64", "32"],
           p.SMALL + [f"run.dir={other}", "train.steps=4", "model.head_out=32"])
    shutil.rmtree(other)


def main():
    cltrain = p.Program(sys.argv[1])
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with p.temporary_folder() as folder:
        config_errors(cltrain, repeats)
        data_errors(cltrain, folder)
        run_directory_errors(cltrain, folder)
        checkpoint_errors(cltrain, folder)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Fine-tuning as a program: finetune_video_small.yaml starts, from nothing and from a VideoMoCo run;
its classifier is measured while it trains, at the end, and alike by `cltrain eval`; on images it
learns; other methods have no classifier, and data without labels is refused.

usage: finetune.py CLTRAIN
"""
import json
import pathlib
import shutil
import subprocess
import sys

import program as p
from bad_videos import make_videos

TINY = ["data.frames=4", "data.stride=2", "augment.size=32", "model.width=0.125",
        "train.global_batch=5", "metrics.enabled=false"]

FASHION = ["simclr_fashion.yaml", "method.name=finetune", "simclr.temperature=0.1"]


def run(cltrain, arguments, expected=0, ranks=2):
    code, output = cltrain.run(ranks, [str(a) for a in arguments])
    p.check(code == expected,
            f"exit {code}, not {expected}: {' '.join(map(str, arguments))}\n{output}")
    return output


def evaluations(run_dir, probe):
    lines = (run_dir / "evaluations.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["probe"] == probe]


def check_video(cltrain, folder):
    data = [f"data.root={folder / 'clips'}", *TINY]
    pretrained, tuned, scratch = folder / "videomoco", folder / "tuned", folder / "scratch"
    run(cltrain, ["--config", "videomoco_small.yaml", *data, "videomoco.queue=13", "train.steps=2",
                  "eval.enabled=false", f"run.dir={pretrained}"])
    state = pretrained / "checkpoints" / "latest" / "state.safetensors"
    arguments = ["--config", "finetune_video_small.yaml", *data, "train.steps=4", "eval.every=2"]
    output = run(cltrain, [*arguments, f"model.init_from={state}", f"run.dir={tuned}"])
    p.check(f"weights      {state}" in output, output)
    p.check("classifier top-1 on the test set:" in output and "kNN" not in output, output)
    found = evaluations(tuned, "classifier")
    p.check([e["step"] for e in found] == [2, 4], str(found))
    p.check(p.summary(tuned)["eval"]["classifier"]["top1"] == found[-1]["scores"]["top1"], "summary")
    p.check(all(0 <= s["scalars"]["accuracy"] <= 1 for s in p.read_steps(tuned)), "accuracy")
    run(cltrain, [*arguments, f"run.dir={scratch}"])
    p.check(p.read_steps(scratch)[0]["loss"] != p.read_steps(tuned)[0]["loss"],
            "the weights made no difference")
    return pretrained, tuned


def check_eval(cltrain, pretrained, tuned):
    run(cltrain, ["eval", "--run", tuned, "--probe", "classifier"])
    run(cltrain, ["eval", "--run", tuned, "--probe", "classifier,knn"], ranks=1)
    summary = p.summary(tuned)
    reports = [e for e in summary["evaluations"] if e["probe"] == "classifier"]
    p.check(len(reports) == 2, str(summary["evaluations"]))
    for report in reports:
        for score in ("top1", "top5"):
            p.check(report[score] == summary["eval"]["classifier"][score], f"{report}\n{summary}")
    p.check(reports[0]["queries"] == 4, str(reports[0]))
    for arguments in (["--run", pretrained], ["--config", "finetune_video_small.yaml"],
                      ["--run", tuned, "--untrained"]):
        output = run(cltrain, ["eval", *arguments, "--probe", "classifier"], expected=2, ranks=1)
        p.check("--probe classifier" in output, output)


def check_no_labels(cltrain, folder):
    flat = folder / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted((folder / "clips").rglob("*.mp4"))):
        shutil.copy(path, flat / f"{number}.mp4")
    output = run(cltrain, ["--config", "finetune_video_small.yaml", *TINY, f"data.root={flat}",
                           f"run.dir={folder / 'no'}"], expected=3)
    p.check("method.name=finetune learns labels, and the training data has none" in output, output)


def check_plan(cltrain):
    for config in (["finetune_video_small.yaml"], FASHION):
        done = subprocess.run([cltrain.path, "plan", "--ranks", "4", "--classes", "7", "--config",
                               *config], capture_output=True, text=True, timeout=300)
        p.check(done.returncode == 0 and "classes of the data: 7" in done.stdout,
                done.stdout + done.stderr)
        p.check("loss by loss.exchange" not in done.stdout, done.stdout)


def check_images(cltrain, folder):
    run_dir = folder / "fashion"
    run(cltrain, ["--config", *FASHION, "model.width=0.25", "train.global_batch=128",
                  "train.steps=120", "optim.lr=0.4", "optim.warmup_epochs=0",
                  "augment.crop_scale_min=0.5", "eval.baselines=false", "metrics.enabled=false",
                  f"run.dir={run_dir}"])
    top1 = p.summary(run_dir)["eval"]["classifier"]["top1"]
    p.check(top1 > 0.5, f"{top1} of ten classes after 120 steps")
    accuracies = [s["scalars"]["accuracy"] for s in p.read_steps(run_dir)]
    p.check(sum(accuracies[-20:]) > sum(accuracies[:20]) + 2, str(accuracies))
    return top1


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        make_videos(folder / "clips" / "train", 12, frames=40)
        make_videos(folder / "clips" / "val", 4, frames=40)
        check_eval(cltrain, *check_video(cltrain, folder))
        check_no_labels(cltrain, folder)
        check_plan(cltrain)
        top1 = check_images(cltrain, folder)
    print(f"clips are fine-tuned and measured; Fashion-MNIST: {100 * top1:.1f} % after 120 steps")


if __name__ == "__main__":
    main()

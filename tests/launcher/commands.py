#!/usr/bin/python3
"""Every sub-command of the program on a small run: what it prints, writes and refuses.

usage: commands.py CLTRAIN MAKE_PHOTOS PHOTO_FOLDER
"""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import numpy
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
import program as p  # noqa: E402

COMMANDS = ["train", "eval", "embed", "neighbours", "export", "views", "plot", "config", "methods",
            "models", "data", "completion"]
IMAGES = 64


class Commands:
    def __init__(self, cltrain, folder):
        self.cltrain, self.folder = cltrain, folder

    def __call__(self, *words, code=0, ranks=1):
        command = [self.cltrain.path, *map(str, words)]
        if ranks > 1:
            command = self.cltrain.command(ranks, map(str, words))
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)
        p.check(done.returncode == code,
                f"{' '.join(command)}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def check_help(run):
    general = run("--help")
    for name in COMMANDS:
        p.check(f"\n  {name} " in general, f"cltrain --help does not list {name}")
        text = run(name, "--help")
        p.check(text.startswith(f"cltrain {name}: ") and "\nExample:\n" in text, text)
    section = run("--help", "probe")
    p.check(section.startswith("probe\n") and "probe.epochs" in section, section)
    version = run("--version")
    for word in ("cltrain", "commit", "LibTorch", "MPI", "NCCL", "CPU kernels", "CUDA parts"):
        p.check(word in version, f"no {word} in {version}")
    p.check("simclr" in run("methods") and "resnet50" in run("models"), "the registries are empty")
    p.check("tar_shards" in run("data"), "no tar_shards in cltrain data")


def check_refusals(run):
    for words, text in (
            (["evil"], "'evil' is neither a command (train, eval,"),
            (["trian"], "did you mean train?"),
            (["--config", "x.yaml", "eval"], "the command comes first: cltrain eval"),
            (["eval", "--run", "run", "--untrained", "--weights", "x"], "exclude each other"),
            (["eval", "--run", "run", "--out", "nowhere/x.jsonl"], "there is no folder nowhere"),
            (["embed", "--run", "run", "--out", "nowhere/x.npy"], "there is no folder nowhere"),
            (["neighbours", "--index", "no.flat.faiss", "--query", "1"], "no such file"),
            (["plot", "photos"], "no run of cltrain with steps on record"),
            (["eval", "--rum", "x"], "did you mean --run?"),
            (["eval", "--run"], "--run needs a value"),
            (["eval"], "give --run DIR"),
            (["eval", "--run", "nowhere"], "no run of cltrain there"),
            (["eval", "--run", "run", "--config", "simclr_large.yaml"], "exclude each other"),
            (["eval", "--run", "run", "--probe", "knn,svm"], "svm"),
            (["embed", "--run", "run", "--split", "middle"], "one of train, test"),
            (["views", "--config", "simclr_fashion.yaml", "--out", "x.gif"], "name the file .png"),
            (["plot"], "no run named"),
            (["plot", "run", "--out", "x.png"], "name the file .svg"),
            (["export", "--config", "x.yaml"], "is no flag of cltrain export"),
            (["export"], "needs --run DIR"),
            (["completion", "fish"], "bash or zsh"),
            (["methods", "x=1"], "'x=1'")):
        output = run(*words, code=2)
        p.check(text in output, f"{words}: no '{text}' in\n{output}")


def check_eval(run, folder):
    first = run("eval", "--run", "run", "probe.epochs=20")
    p.check("knn " in first and "linear " in first and "worst class" in first, first)
    run("eval", "--run", "run", "--probe", "knn", "--out", "out.jsonl", ranks=2)
    run("eval", "--run", "run", "--probe", "knn", "--untrained")
    found = p.summary(folder / "run")["evaluations"]
    p.check([e["probe"] for e in found] == ["knn", "linear", "knn", "knn"], str(found))
    p.check([e["ranks"] for e in found] == [1, 1, 2, 1], str(found))
    p.check(found[0]["top1"] == found[2]["top1"], "kNN depends on the number of ranks")
    p.check(found[0]["step"] == 4 and "k = " in found[0]["protocol"] and found[0]["seed"] == 1,
            str(found[0]))
    p.check(found[3]["weights"] == "untrained" and found[3]["step"] == 0, str(found[3]))
    p.check(sum(c["queries"] for c in found[0]["per_class"]) == IMAGES, str(found[0]["per_class"]))
    p.check(json.loads((folder / "out.jsonl").read_text())["top1"] == found[2]["top1"], "out.jsonl")
    p.check(p.summary(folder / "run")["steps"] == 4, "the run's own summary was lost")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_embed(run, folder):
    run("embed", "--run", "run", "--split", "test", "--out", "emb.npy", "--index", "flat")
    run("embed", "--run", "run", "--split", "test", "--out", "two.npy", ranks=2)
    vectors, ids = numpy.load(folder / "emb.npy"), numpy.load(folder / "emb.ids.npy")
    labels = numpy.load(folder / "emb.labels.npy")
    p.check(vectors.shape[0] == IMAGES and vectors.dtype == numpy.float32, str(vectors.shape))
    p.check(list(ids) == list(range(IMAGES)), str(ids))
    p.check(list(labels) == [0] * (IMAGES // 2) + [1] * (IMAGES // 2), str(labels))
    manifest = json.loads((folder / "emb.json").read_text())
    for name, digest in manifest["files_sha256"].items():
        p.check(sha256(folder / name) == digest, f"the manifest's checksum of {name}")
    # Batch by batch the ranks' rows fall differently, so products may round differently.
    difference = numpy.abs(numpy.load(folder / "two.npy") - vectors).max()
    p.check(difference < 1e-5, f"embeddings of two ranks differ by {difference}")

    output = run("neighbours", "--index", "emb.flat.faiss", "--query", 7, "--k", 5, "--sheet",
                 "sheet.png")
    unit = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit[7]
    best = [i for i in numpy.argsort(-similarity, kind="stable") if i != 7][:5]
    listed = [int(line.split()[0]) for line in output.splitlines() if line[:1].isspace()
              and line.split() and line.split()[0].isdigit()]
    p.check(len(listed) == 5 and numpy.allclose(similarity[listed], similarity[best], atol=1e-5),
            f"neighbours of 7 are {best}, listed were {listed}:\n{output}")
    with Image.open(folder / "sheet.png") as sheet:
        p.check(sheet.format == "PNG" and min(sheet.size) > 90, str(sheet.size))
    # Another data set than the one embedded is not drawn from; new embeddings take old indexes along.
    output = run("neighbours", "--index", "emb.flat.faiss", "--query", 7, "--sheet", "x.png",
                 "data.val=photos/train/bag", code=3)
    p.check("the index was made of" in output, output)
    with open(folder / "emb.flat.faiss", "r+b") as file:
        file.seek(200)
        file.write(b"\xff\xff")
    output = run("neighbours", "--index", "emb.flat.faiss", "--query", 7, code=3)
    p.check("emb.flat.faiss" in output, output)
    run("embed", "--run", "run/", "--split", "test", "--out", "emb.npy")
    p.check(not list(folder.glob("emb.*.faiss*")), "an index outlives its embeddings")


def check_export(run, folder):
    run("export", "--run", "run", "--out", "backbone.safetensors")
    trained = [e for e in p.summary(folder / "run")["evaluations"] if e["probe"] == "knn"][0]
    config = "run/config.resolved.yaml"
    run("eval", "--config", config, "--weights", "backbone.safetensors", "--probe", "knn", "--out",
        "exported.jsonl")
    exported = json.loads((folder / "exported.jsonl").read_text())
    p.check(exported["top1"] == trained["top1"], "exported weights give another accuracy")


def check_pictures(run, folder):
    run("views", "--run", "run", "--out", "views.png")
    with Image.open(folder / "views.png") as sheet:
        p.check(sheet.size[1] > 8 * 96 and sheet.size[0] > 3 * 96, str(sheet.size))
    run("plot", "run", "--out", "curves.svg")
    root = xml.etree.ElementTree.parse(folder / "curves.svg").getroot()
    p.check(root.tag.endswith("svg"), root.tag)


def completed(run, line):
    script = run("completion", "bash") + f"""
COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
_cltrain; echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    p.check(done.returncode == 0 and not done.stderr, f"bash completion of '{line}': {done.stderr}")
    return done.stdout.split()


def check_completion(run):
    p.check(completed(run, "cltrain ne") == ["neighbours"], completed(run, "cltrain ne"))
    p.check("--untrained" in completed(run, "cltrain eval --"), "flags of eval")
    p.check(completed(run, "cltrain embed --split t") == ["train", "test"], "values of a flag")
    p.check("simclr_fashion.yaml" in completed(run, "cltrain --config simclr_f"), "configs")
    p.check("optim.lr=" in completed(run, "cltrain --config x.yaml optim.l"), "option names")
    p.check("optim.lr=" in completed(run, "cltrain eval --untrained optim.l"), "after a switch")
    p.check(completed(run, "cltrain eval probe.optimizer=l") == ["lbfgs"], "values of an option")
    zsh = run("completion", "zsh")
    p.check(zsh.startswith("#compdef cltrain"), zsh[:80])
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=zsh, text=True, check=True, timeout=60)


def main():
    cltrain = p.Program(sys.argv[1])
    subprocess.run(["/usr/bin/python3", sys.argv[2], sys.argv[3]], check=True,
                   env={"PATH": "/usr/bin:/bin"})
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        run = Commands(cltrain, folder)
        for split in ("train", "val"):
            (folder / "photos").mkdir(exist_ok=True)
            (folder / "photos" / split).symlink_to(pathlib.Path(sys.argv[3]).resolve())
        check_help(run)
        run("train", "--config", "simclr_large.yaml", "data.root=photos", "model.name=small_conv",
            "augment.size=32", "train.global_batch=16", "train.steps=4", "run.dir=run",
            "metrics.port=0", "optim.warmup_epochs=0", "eval.knn_k=5")
        p.check(list((folder / "run" / "tensorboard").glob("events.out.tfevents.*")), "no event file")
        check_refusals(run)
        check_eval(run, folder)
        check_embed(run, folder)
        check_export(run, folder)
        check_pictures(run, folder)
        check_completion(run)
    print(f"{len(COMMANDS)} commands: help, results, refusals, completion")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Learning on real data, in minutes: what a shipped config trains beats its untrained network and the
baseline that knows nothing of order or content. Figures belong into docs/results.md; here are bounds
that a sound build passes with room to spare.

usage: learns.py CLTRAIN moco | sasrec | srma | clicks
needs Fashion-MNIST where the config looks for it, or MovieLens-100k (data/fetch_ml100k.sh gets it).
"""
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "faults"))
import program as p  # noqa: E402


def train(cltrain, config, run_dir, *more):
    """Two ranks of one thread each, which is what two cores do best."""
    code, output = cltrain.run(2, ["--config", config, f"run.dir={run_dir}", "metrics.enabled=false",
                                   *more], timeout=1400)
    p.check(code == 0, f"exit code {code}: {config}\n{output}")


def evaluation(run_dir):
    return p.summary(run_dir)["eval"]


def moco(cltrain, folder):
    """kNN of MoCo v2's features, points above the same network untrained."""
    train(cltrain, "moco_v2_fashion.yaml", folder / "run", "run.seed=1")
    scores = evaluation(folder / "run")
    gain = 100 * (scores["knn"]["top1"] - scores["untrained_encoder"]["top1"])
    p.check(gain >= 3, f"a gain of {gain:.2f} points, 3 required: {scores}")
    return f"kNN {100 * scores['knn']['top1']:.2f} %, {gain:+.2f} points"


def above_baselines(scores):
    ours, popular, untrained = (scores[name]["NDCG@20"] for name in
                                ("test", "popularity", "untrained"))
    p.check(ours > popular and ours >= 10 * untrained, str(scores))
    return f"NDCG@20 {ours:.4f}, popularity {popular:.4f}, untrained {untrained:.4f}"


def movielens():
    return subprocess.run([TESTS.parent / "data" / "fetch_ml100k.sh"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def sasrec(cltrain, folder):
    """Ranking of all films by what comes next."""
    train(cltrain, "sasrec_ml100k.yaml", folder / "run", f"data.root={movielens()}",
          "train.epochs=100")
    return above_baselines(evaluation(folder / "run"))


def srma(cltrain, folder):
    """Both stages; the contrast by the last slot, which takes a minute and not an hour."""
    train(cltrain, "srma_ml100k.yaml", folder / "run", f"data.root={movielens()}",
          "train.epochs=200", "train.patience=0", "eval.every_epochs=0", "srma.contrast=last")
    above_baselines(evaluation(folder / "run" / "1"))
    return above_baselines(evaluation(folder / "run" / "2"))


def clicks(cltrain, folder):
    """Ratings from 4 up among a user's last tenth; a coin has 0.5."""
    train(cltrain, "cl4srec_easyrec_ml100k.yaml", folder / "run", f"data.root={movielens()}")
    scores = evaluation(folder / "run")
    auc, untrained = scores["clicks"]["AUC"], scores["untrained_model"]["AUC"]
    p.check(auc > 0.75 and auc > untrained + 0.2, str(scores))
    return f"AUC {auc:.4f}, untrained {untrained:.4f}"


def main():
    what = {"moco": moco, "sasrec": sasrec, "srma": srma, "clicks": clicks}[sys.argv[2]]
    with p.temporary_folder() as folder:
        print(f"{sys.argv[2]} learns: {what(p.Program(sys.argv[1]), pathlib.Path(folder))}")


if __name__ == "__main__":
    main()

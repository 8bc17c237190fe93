#!/usr/bin/env python3
"""The figures of `cltrain eval` against scikit-learn and numpy on the features that `cltrain embed`
writes: a short run on part of Fashion-MNIST, under one and three ranks. The linear probe must come
within half a point of LogisticRegression with the same objective, the weighted kNN within a tenth
of a point of numpy's (a near tie of two votes may turn).

usage: probe_against_sklearn.py CLTRAIN
needs numpy and scikit-learn (tests/requirements.txt).
"""
import hashlib
import json
import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
from program import Program, check, temporary_folder  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

ROWS, DECAY, K, TEMPERATURE = 6000, 1e-4, 50, 0.1


def run(program, ranks, arguments):
    code, output = program.run(ranks, arguments, timeout=900)
    check(code == 0, f"exit code {code}: {' '.join(arguments)}\n{output}")


def read(folder, split):
    """Vectors and labels of a split, checked against their manifest."""
    manifest = json.loads((folder / f"{split}.json").read_text())
    for name, expected in manifest["files_sha256"].items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        check(found == expected, f"{name}: SHA-256 {found}, the manifest says {expected}")
    vectors = np.load(folder / f"{split}.npy")
    check(vectors.shape == (manifest["rows"], manifest["width"]), f"{split}: {vectors.shape}")
    check(vectors.dtype == np.float32, f"{split}: {vectors.dtype}")
    ids = np.load(folder / f"{split}.ids.npy")
    check(len(set(ids.tolist())) == len(ids) == len(vectors), f"{split}: ids are not unique")
    return vectors, np.load(folder / f"{split}.labels.npy"), ids


def sklearn_top1(train, train_labels, test, test_labels):
    mean, deviation = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    factor = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0)
    factor = factor / np.sqrt(train.shape[1])
    model = LogisticRegression(C=1 / (DECAY * len(train)), max_iter=5000, tol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model.fit((train - mean) * factor, train_labels)
    return model.score((test - mean) * factor, test_labels)


def numpy_knn_top1(train, train_labels, test, test_labels):
    train = train / np.linalg.norm(train, axis=1, keepdims=True)
    test = test / np.linalg.norm(test, axis=1, keepdims=True)
    similarity = test.astype(np.float64) @ train.astype(np.float64).T
    near = np.argpartition(-similarity, K - 1, axis=1)[:, :K]
    weight = np.exp(np.take_along_axis(similarity, near, 1) / TEMPERATURE)
    votes = np.zeros((len(test), train_labels.max() + 1))
    for neighbour in range(K):
        votes[np.arange(len(test)), train_labels[near[:, neighbour]]] += weight[:, neighbour]
    return (votes.argmax(1) == test_labels).mean()


def probes(path):
    return {line["probe"]: line["top1"] for line in map(json.loads, path.read_text().splitlines())}


def main():
    program = Program(sys.argv[1])
    with temporary_folder() as name:
        folder = pathlib.Path(name)
        np.save(folder / "part.npy", np.arange(0, 10 * ROWS, 10, dtype=np.int64))
        run(program, 1, ["--config", "simclr_fashion.yaml", "model.width=0.25",
                         "train.global_batch=64", "train.steps=10", "eval.enabled=false",
                         "metrics.enabled=false", f"data.index_list={folder}/part.npy",
                         f"run.dir={folder}/run"])
        for split in ("train", "test"):
            run(program, 3, ["embed", "--run", f"{folder}/run", "--split", split, "--out",
                             f"{folder}/{split}.npy"])
        train, train_labels, ids = read(folder, "train")
        check(ids.tolist() == list(range(0, 10 * ROWS, 10)), "ids are not those of the index list")
        test, test_labels, _ = read(folder, "test")
        linear = sklearn_top1(train, train_labels, test, test_labels)
        knn = numpy_knn_top1(train, train_labels, test, test_labels)
        print(f"scikit-learn {100 * linear:.2f} %, numpy kNN {100 * knn:.2f} %")
        check(0.3 < knn < 0.99 and 0.3 < linear < 0.99, "features that show nothing")
        for ranks in (1, 3):
            for optimizer, epochs in (("lbfgs", 2000), ("sgd", 200)):
                out = folder / f"{optimizer}-{ranks}.jsonl"
                run(program, ranks,
                    ["eval", "--run", f"{folder}/run", "--probe", "linear,knn", "--out", str(out),
                     f"probe.optimizer={optimizer}", f"probe.epochs={epochs}",
                     f"probe.weight_decay={DECAY}", f"eval.knn_k={K}",
                     f"eval.knn_temperature={TEMPERATURE}"])
                found = probes(out)
                print(f"{ranks} ranks, {optimizer}: linear {100 * found['linear']:.2f} %, "
                      f"kNN {100 * found['knn']:.2f} %", flush=True)
                check(abs(found["linear"] - linear) <= 0.005, f"linear probe: {found}")
                check(abs(found["knn"] - knn) <= 0.001, f"kNN: {found}")
    print("PASSED")


if __name__ == "__main__":
    main()

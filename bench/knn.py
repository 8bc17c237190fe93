#!/usr/bin/env python3
"""Exact search of the k nearest neighbours: cltrain's tiled search, its faiss path and its torch
top-k path against faiss-cpu's IndexFlatIP of Python, on the same vectors and threads. One turn
each, round after round; medians. Building the index is part of the time. That they find the same
neighbours is tested in tests/eval/nearest_test.cpp.

usage: knn.py EVAL_BENCH [--base 50000] [--queries 10000] [--width 512] [--k 200] [--threads 2]
              [--rounds 5]
needs numpy and faiss (tests/requirements.txt); EVAL_BENCH is build/bin/eval_bench.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
import time


def unit_rows(rng, centres, rows, np):
    vectors = centres[rng.integers(len(centres), size=rows)]
    vectors = vectors + 2 * rng.standard_normal(vectors.shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--base", type=int, default=50000)
    parser.add_argument("--queries", type=int, default=10000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default="tiles,faiss,topk")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, options.width), dtype=np.float32)
    base = unit_rows(rng, centres, options.base, np)
    queries = unit_rows(rng, centres, options.queries, np)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/base.npy", base)
        np.save(f"{folder}/queries.npy", queries)
        program = subprocess.Popen(
            [options.bench, "knn", f"{folder}/base.npy", f"{folder}/queries.npy", str(options.k),
             str(options.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        engines = options.engines.split(",")
        seconds = {name: [] for name in ["peer"] + engines}
        for _ in range(options.rounds):
            started = time.perf_counter()
            index = faiss.IndexFlatIP(options.width)
            index.add(base)
            index.search(queries, options.k)
            seconds["peer"].append(time.perf_counter() - started)
            for name in engines:
                program.stdin.write(name + "\n")
                program.stdin.flush()
                seconds[name].append(float(program.stdout.readline()))
        program.stdin.close()
        program.wait()
    print(f"{options.queries} queries, base {options.base}, width {options.width}, k {options.k}, "
          f"{options.threads} threads, faiss-cpu {faiss.__version__}")
    peer = statistics.median(seconds["peer"])
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(f"{name:6} median {middle:7.3f} s  (from {min(values):.3f} to {max(values):.3f})  "
              f"{peer / middle:5.2f} x the peer")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Full ranking of all users: cltrain's evaluator, its ranking among 100 negatives and its top-20
recommendations against the loop that SRMA and its family evaluate with, written from its
description: a batch of 256 users by all items in torch, the scores to numpy, seen items set to 0,
argpartition for the top 20 and their order, then recall and NDCG by loops over the users in Python.
(Their code makes a dense mask of each batch out of a sparse matrix; here seen items are set by
index, which is faster.) Same vectors and threads; one turn each, round after round; medians. The
encoder's part is in neither. Vectors are random, answers lean towards high scores; --data takes
histories and answers from a text of lines `user item item ...`, the last item being the answer;
else there are as many users and items as in Beauty.

usage: ranking.py RANKING_BENCH [--data FILE] [--users 22363] [--items 12101] [--width 64]
                  [--threads 2] [--rounds 5]
needs numpy and torch (tests/requirements.txt); RANKING_BENCH is build/bin/ranking_bench.
"""
import argparse
import math
import os
import statistics
import subprocess
import tempfile
import time

CUTOFFS = (5, 10, 20)
BATCH = 256


def sequences(options, rng):
    if options.data:
        with open(options.data) as lines:
            return [[int(item) for item in line.split()[1:]] for line in lines]
    lengths = 5 + rng.geometric(1 / 4.9, options.users) - 1  # as Beauty: 5 at least, 8.9 the mean
    return [rng.permutation(options.items)[:n] + 1 for n in lengths]


def vectors(lists, options, np, rng):
    items = max(max(one) for one in lists)
    table = rng.standard_normal((items + 2, options.width), dtype=np.float32)
    answers = np.array([one[-1] for one in lists], dtype=np.int64)
    users = rng.standard_normal((len(lists), options.width), dtype=np.float32)
    return table, users + 0.35 * table[answers], answers


class Peer:
    def __init__(self, table, users, answers, histories, np, torch):
        self.np, self.torch = np, torch
        self.table, self.users = torch.from_numpy(table), torch.from_numpy(users)
        self.answers = [[int(answer)] for answer in answers]
        self.histories = histories

    def top20(self, scores, begin):
        np = self.np
        seen = self.histories[begin:begin + len(scores)]
        rows = np.repeat(np.arange(len(seen)), [len(one) for one in seen])
        scores[rows, np.concatenate(seen)] = 0
        best = np.argpartition(scores, -20)[:, -20:]
        every = np.arange(len(scores))[:, None]
        order = np.argsort(scores[every, best])[:, ::-1]
        return best[every, order]

    def measures(self):
        predicted = []
        with self.torch.no_grad():
            for begin in range(0, len(self.users), BATCH):
                scores = self.torch.matmul(self.users[begin:begin + BATCH], self.table.t())
                predicted.extend(self.top20(scores.cpu().numpy().copy(), begin).tolist())
        result = []
        for k in CUTOFFS:
            recall = gain = 0.0
            for answer, items in zip(self.answers, predicted):
                wanted = set(answer)
                recall += len(wanted & set(items[:k])) / len(wanted)
                gain += sum((item in wanted) / math.log2(place + 2)
                            for place, item in enumerate(items[:k]))
            result += [f"HR@{k} {recall / len(predicted):.4f}",
                       f"NDCG@{k} {gain / len(predicted):.4f}"]
        return " ".join(result)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--data")
    parser.add_argument("--users", type=int, default=22363)
    parser.add_argument("--items", type=int, default=12101)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import numpy as np
    import torch

    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    lists = sequences(options, rng)
    table, users, answers = vectors(lists, options, np, rng)
    histories = [np.asarray(one[:-1], dtype=np.int64) for one in lists]
    peer = Peer(table, users, answers, histories, np, torch)
    engines = ["full", "sampled", "recommend"]
    seconds = {name: [] for name in ["peer"] + engines}
    text = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/items.npy", table)
        np.save(f"{folder}/users.npy", users)
        np.save(f"{folder}/answers.npy", answers)
        np.save(f"{folder}/offsets.npy",
                np.cumsum([0] + [len(one) for one in histories], dtype=np.int64))
        np.save(f"{folder}/ids.npy", np.concatenate(histories))
        program = subprocess.Popen([options.bench, folder, str(options.threads)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(options.rounds):
            started = time.perf_counter()
            text["peer"] = peer.measures()
            seconds["peer"].append(time.perf_counter() - started)
            for name in engines:
                program.stdin.write(name + "\n")
                program.stdin.flush()
                words = program.stdout.readline().split(maxsplit=1)
                seconds[name].append(float(words[0]))
                text[name] = words[1].strip() if len(words) > 1 else ""
        program.stdin.close()
        program.wait()
    print(f"{len(users)} users, {len(table)} ids, width {options.width}, "
          f"{sum(map(len, histories))} seen items, {options.threads} threads")
    middle = statistics.median(seconds["peer"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:9} median {median:7.3f} s  (from {min(values):.3f} to {max(values):.3f})  "
              f"{middle / median:6.2f} x the peer  {text[name]}")
    if not text["full"].startswith(text["peer"]):
        raise SystemExit("the measures differ")


if __name__ == "__main__":
    main()

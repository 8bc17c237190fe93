#!/usr/bin/env python3
"""What a click-through model of ratings has to beat: the AUC of a user's and an item's share of clicks in
the training rows, as log-odds added up. The same rows and the same split as data.name=NAME gives
cltrain (data/clicks/open_clicks.h).

usage: click_baseline.py FILE.inter [--click-rating 4] [--prior 5]
Each share has --prior rows of the mean added. Needs numpy.
"""
import argparse
import collections
import pathlib

import numpy as np


def read_split(path):
    """(user, item, rating) of the training rows, and of each user's last tenth."""
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    at = {name.split(":")[0]: i for i, name in enumerate(rows[0])}
    users = collections.defaultdict(list)
    for row in rows[1:]:
        users[row[at["user_id"]]].append((float(row[at["timestamp"]]), row[at["item_id"]],
                                          float(row[at["rating"]])))
    train, test = [], []
    for user, events in users.items():
        events.sort(key=lambda event: event[0])
        last = len(events) - len(events) // 10
        train += [(user, item, rating) for _, item, rating in events[:last]]
        test += [(user, item, rating) for _, item, rating in events[last:]]
    return train, test


def auc(scores, clicks):
    """Ties count by half."""
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]
    ones = clicks.sum()
    return (ranks[clicks].sum() - ones * (ones + 1) / 2) / (ones * (len(clicks) - ones))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--click-rating", type=float, default=4)
    parser.add_argument("--prior", type=float, default=5)
    options = parser.parse_args()
    train, test = read_split(options.file)
    mean = np.mean([rating >= options.click_rating for *_, rating in train])
    odds = []
    for column in (0, 1):
        seen = collections.defaultdict(list)
        for row in train:
            seen[row[column]].append(row[2] >= options.click_rating)
        share = {key: (sum(clicks) + options.prior * mean) / (len(clicks) + options.prior)
                 for key, clicks in seen.items()}
        shares = np.array([share.get(row[column], mean) for row in test])
        odds.append(np.log(shares / (1 - shares)))
    clicks = np.array([row[2] >= options.click_rating for row in test])
    print(f"{len(train)} training rows, {len(test)} test rows, {100 * clicks.mean():.1f} % clicks")
    for name, scores in (("user", odds[0]), ("item", odds[1]), ("both", odds[0] + odds[1])):
        print(f"{name} AUC {auc(scores, clicks):.4f}")


if __name__ == "__main__":
    main()

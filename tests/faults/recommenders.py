#!/usr/bin/python3
"""Recommenders as a program: every shipped config starts; the same run at any number of ranks; a kill
changes nothing; stages; evaluation, given weights and recommendations; clear errors.

usage: recommenders.py CLTRAIN
"""
import json
import pathlib
import signal
import sys

import program as p

ITEMS, USERS = 40, 90
TINY = ["model.hidden=16", "train.global_batch=32", "metrics.enabled=false", "eval.batch=37"]


def write_sets(folder):
    """Users walk round a circle of items, some in steps of two: what comes next can be learnt."""
    lists = []
    for user in range(USERS):
        stride, start, length = 1 + user % 2, 7 * user, 4 + user % 9
        lists.append([1 + (start + stride * i) % ITEMS for i in range(length)])
    lists.append([1, 2, 3])  # evaluated, not trained
    lists.append([4, 5])     # left out
    (folder / "walks.txt").write_text(
        "".join(f"{user + 1} {' '.join(map(str, items))}\n" for user, items in enumerate(lists)))
    rows = [f"u{user}\ti{item}\t{1 + item % 5}\t{1000 + step}\n" for user, items in enumerate(lists)
            for step, item in reversed(list(enumerate(items)))]
    (folder / "timed.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(rows))


class Runs(p.Runs):
    def train(self, config, name, *more, ranks=1, expected=0, data="walks"):
        run_dir = self.folder / name
        output = self(["--config", f"{config}.yaml", f"data.root={self.folder}",
                       f"data.name={data}", f"run.dir={run_dir}", *TINY, *more], expected, ranks)
        return run_dir, output


def losses(run_dir):
    return [step["loss"] for step in p.read_steps(run_dir)]


def check_same_at_any_rank_count(run):
    arguments = ["run.dtype=float64", "train.epochs=2", "train.patience=0", "eval.every_epochs=0"]
    for config in ("sasrec_beauty", "srma_beauty", "cl4srec_beauty", "coserec_beauty"):
        more = arguments + (["--stage", "1"] if config.startswith("srma") else [])
        one, _ = run.train(config, f"{config}-1", *more)
        three, _ = run.train(config, f"{config}-3", *more, ranks=3)
        for a, b in zip(p.read_steps(one / "1" if "--stage" in more else one),
                        p.read_steps(three / "1" if "--stage" in more else three), strict=True):
            p.check(abs(a["loss"] - b["loss"]) <= 1e-9 * abs(a["loss"]), f"{config}: {a}\n{b}")
            p.check(a["ids_hash"] == b["ids_hash"], f"{config}: other users")


def check_learns(run):
    run_dir, output = run.train("sasrec_ml100k", "learns", "train.epochs=60", "model.dropout=0.1",
                                "optim.lr=0.01", "train.patience=0", "eval.every_epochs=0", ranks=2)
    scores = p.summary(run_dir)["eval"]
    p.check(scores["test"]["NDCG@5"] > 0.5 > 3 * scores["popularity"]["NDCG@5"], str(scores))
    p.check(scores["test"]["NDCG@5"] > 5 * scores["untrained"]["NDCG@5"], str(scores))
    p.check(f"  trained network    HR@5 {scores['test']['HR@5']:.4f} NDCG@5 " in output, output)
    p.check("92 users, 40 items" in output, output)
    return run_dir


def check_evaluation(run, trained):
    expected = p.summary(trained)["eval"]["test"]
    for ranks, batch in ((1, 256), (3, 7)):
        output = run(["eval", "--run", trained, f"eval.batch={batch}"], ranks=ranks)
        p.check(f"HR@5 {expected['HR@5']:.4f} NDCG@5 {expected['NDCG@5']:.4f}" in output, output)
        p.check("91 users" in output, output)
    reports = p.summary(trained)["evaluations"]
    for report in reports:
        for name, value in expected.items():
            p.check(name == "step" or report[name] == value, f"{report}\n{expected}")
    weights = trained.parent / "weights.safetensors"
    run(["export", "--run", trained, "--out", weights])
    given = ["eval", "--config", "sasrec_beauty.yaml", f"data.root={trained.parent}",
             "data.name=walks", "--weights", weights, *TINY]
    p.check(f"NDCG@5 {expected['NDCG@5']:.4f}" in run(given), "exported weights rank otherwise")
    output = run([*given, "model.layers=3"], expected=5)
    p.check("item_encoder.layer.2.attention.query.weight" in output, output)
    output = run([*given, "model.hidden=32", "model.layers=1"], expected=5)
    p.check("item_embeddings.weight" in output and "only in the file" in output, output)
    output = run(["eval", "--run", trained, "eval.sampled=5"])
    p.check("sampled_5 HR@5" in output and "not comparable with full ranking" in output, output)
    run(["embed", "--run", trained, "--out", trained.parent / "x.npy"], expected=2)


def check_recommend(run, trained):
    output = run(["recommend", "--run", trained, "--history", "11 12 13 14 15", "--k", "3"])
    items = [line.split("\t")[1] for line in output.splitlines() if line[:1].isdigit()]
    p.check(len(items) == 3 and items[0] == "16", output)
    table = trained.parent / "recs.tsv"
    run(["recommend", "--run", trained, "--user", "5", "--k", ITEMS, "--out", table])
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    p.check(rows[0] == ["rank", "item", "score"], str(rows[0]))
    seen = {1 + (28 + i) % ITEMS for i in range(8)}  # user 5 starts at 7 * 4
    p.check({int(row[1]) for row in rows[1:]} == set(range(1, ITEMS + 1)) - seen, str(rows))
    scores = [float(row[2]) for row in rows[1:]]
    p.check(scores == sorted(scores, reverse=True), str(scores))
    for arguments, message in ((["--history", "11 99"], "not among the 40 items of this data set: 99"),
                               (["--user", "nobody"], "--user nobody: not among the 92 users"),
                               ([], "give --user NAME or --history")):
        p.check(message in run(["recommend", "--run", trained, *arguments], expected=2), message)


def check_kill(run):
    """Killed in the middle, with the best weights and learned neighbours among what is kept."""
    more = ["train.epochs=8", "train.patience=3", "coserec.online_from=2", "checkpoint.every=2"]
    straight, _ = run.train("coserec_beauty", "straight", *more, ranks=2)
    killed = run.folder / "killed"
    arguments = ["--config", "coserec_beauty.yaml", f"data.root={run.folder}", "data.name=walks",
                 f"run.dir={killed}", *TINY, *more]
    p.end_during(run.cltrain, arguments, killed, 11, signal.SIGKILL, [1])
    run(arguments, ranks=2)
    a, b = p.summary(straight), p.summary(killed)
    p.check(a["state_sha256"] == b["state_sha256"], f"{a}\n{b}")
    p.check(a["eval"] == b["eval"] and a["best_step"] == b["best_step"], f"{a}\n{b}")


def check_stages(run):
    more = ["train.epochs=2"]
    base, output = run.train("srma_ml100k", "staged", *more, ranks=2)
    p.check("stage 1 of 2" in output and "stage 2 of 2" in output, output)
    p.check(f"srma.complement  {base / '1'}" in output, output)
    p.check("complement_loss" in p.read_steps(base / "2")[0]["scalars"], "no complement")
    p.check("complement_loss" not in p.read_steps(base / "1")[0]["scalars"], "complement too early")
    _, again = run.train("srma_ml100k", "staged", *more)
    p.check(again.count("this run is finished") == 2, again)
    output = run.train("srma_ml100k", "staged", *more, "run.dir=" + str(run.folder / "alone"),
                       "srma.complement=" + str(base / "1"), "model.layers=1", "--stage", "2",
                       expected=2)[1]
    p.check("model.layers was 2 there, and is 1 here" in output, output)
    p.check("has stages 1 to 2" in run.train("srma_ml100k", "x", "--stage", "3", expected=2)[1], "")


def check_killed_stages(run):
    """In either stage; the second never takes what an unfinished first has."""
    more = ["train.epochs=12", "train.patience=0", "eval.every_epochs=0", "checkpoint.every=1"]
    straight, _ = run.train("srma_beauty", "one-go", *more, ranks=2)
    arguments = ["--config", "srma_beauty.yaml", f"data.root={run.folder}", "data.name=walks",
                 f"run.dir={run.folder / 'ended'}", *TINY, *more]
    ended = run.folder / "ended"
    p.end_during(run.cltrain, arguments, ended / "1", 4, signal.SIGKILL, [1])
    output = run([*arguments, "--stage", "2"], 5)
    p.check("the run is not finished" in output, output)
    p.end_during(run.cltrain, arguments, ended / "2", 4, signal.SIGKILL, [1])
    run(arguments, ranks=2)
    for stage in "12":
        a, b = p.summary(straight / stage), p.summary(ended / stage)
        p.check(a["state_sha256"] == b["state_sha256"], f"stage {stage}: {a}\n{b}")
    weights = run.folder / "srma.safetensors"
    run(["export", "--run", ended / "2", "--out", weights])
    data = weights.read_bytes()
    names = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    p.check("item_encoder.aug_layer.augment_layers.2.dense.weight" in names, str(list(names)))


def check_not_evaluated(run):
    """Without an evaluation there are no best weights: the newest count."""
    run_dir, _ = run.train("sasrec_ml100k", "not-evaluated", "train.epochs=60", "model.dropout=0.1",
                           "optim.lr=0.01", "eval.enabled=false")
    output = run(["eval", "--run", run_dir])
    p.check(", checkpoint of step" in output, output)
    hits = float(output.split("HR@5 ")[1].split()[0])
    p.check(hits > 0.5, output)


def check_changed_data(run):
    """Other lists under the same name, or the same in another order, are not those of the run."""
    lines = (run.folder / "timed.inter").read_text().splitlines()
    (run.folder / "moved.inter").write_text("\n".join(lines) + "\n")
    run_dir, _ = run.train("sasrec_ml100k", "moved", "train.epochs=1", data="moved")
    rows = (run_dir / "items.tsv").read_text().splitlines()
    p.check(rows[0] == "number\titem" and len(rows) == ITEMS + 1, str(rows[:3]))
    (run.folder / "moved.inter").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    for arguments in (["eval", "--run", run_dir], ["recommend", "--run", run_dir, "--user", "u3"]):
        output = run(arguments, 3)
        p.check("are not the lists that the run in" in output, output)
    output = run.train("sasrec_ml100k", "moved", "train.epochs=2", data="moved", expected=3)[1]
    p.check("are not the lists that the run in" in output, output)


def check_inter(run):
    run_dir, output = run.train("sasrec_ml100k", "inter", "train.epochs=1", data="timed")
    p.check("timed.inter" in output and "92 users, 40 items" in output, output)
    recommended = run(["recommend", "--run", run_dir, "--user", "u3", "--k", "2"])
    p.check("\ti" in recommended, recommended)
    output = run.train("sasrec_ml100k", "rated", "train.epochs=1", "data.min_rating=3",
                       data="timed")[1]
    p.check("ratings from 3" in output, output)


def check_plan(run):
    """Of what is compared, the width: all slots or one; and what a complement adds."""
    def plan(config, *more):
        return run(["plan", "--config", f"{config}.yaml", "--ranks", "4", f"data.root={run.folder}",
                    "data.name=walks", *TINY, *more])

    p.check("(width 800, " in plan("srma_beauty"), "50 slots of 16")
    p.check("(width 16, " in plan("cl4srec_beauty", "cl4srec.contrast=last"), "one slot of 16")
    p.check("complement" in plan("srma_beauty", "srma.complement=x"), "no complement")
    output = plan("sasrec_beauty")
    p.check("loss by loss.exchange" not in output and "parameters" in output, output)


def check_bad_input(run):
    for text, code, message in (
            ("1 2 x 4\n", 3, "bad.txt:1"),
            ("1 2 0 4 5\n", 3, "bad.txt:1"),
            ("", 3, "bad.txt"),
            ("1 2 3 4 5\n2 1 2 2000000000 3 4\n", 3, "bad.txt:2: item 2000000000 is far above"),
            ("1 2 3 4\n2 1 2 3\n", 3, "has 4 items or more"),
    ):
        (run.folder / "bad.txt").write_text(text)
        p.check(message in run.train("sasrec_beauty", "bad", expected=code, data="bad")[1], message)
    (run.folder / "headless.inter").write_text("user_id:token\ttimestamp:float\n1\t2\n")
    output = run.train("sasrec_beauty", "bad", expected=3, data="headless")[1]
    p.check("item_id" in output, output)
    output = run.train("sasrec_beauty", "bad", expected=3, data="absent")[1]
    p.check("neither absent.txt nor absent.inter" in output, output)
    for config, message in (("simclr_fashion", "no such data set of images or videos (fashion_mnist"),
                            ("finetune_video_small", "no such data set")):
        p.check(message in run.train(config, "bad", expected=2)[1], message)
    for option, message in (("srma.layers=2", "is an option of srma"),
                            ("model.heads=3", "cannot be shared by model.heads=3"),
                            ("data.name=fashion_mnist", "trains on sequences of items")):
        p.check(message in run.train("sasrec_beauty", "bad", option, expected=2)[1], option)


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        folder = pathlib.Path(folder)
        write_sets(folder)
        run = Runs(cltrain, folder)
        check_same_at_any_rank_count(run)
        trained = check_learns(run)
        check_evaluation(run, trained)
        check_recommend(run, trained)
        check_kill(run)
        check_stages(run)
        check_killed_stages(run)
        check_not_evaluated(run)
        check_inter(run)
        check_changed_data(run)
        check_plan(run)
        check_bad_input(run)
        scores = p.summary(trained)["eval"]["test"]
    print(f"recommenders train, continue, are ranked and recommend: NDCG@5 {scores['NDCG@5']:.2f}")


if __name__ == "__main__":
    main()

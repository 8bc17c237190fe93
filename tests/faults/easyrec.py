#!/usr/bin/python3
"""Click-through models as a program: a run learns a known rule, is the same at any number of ranks,
goes on after a kill, is measured again; ratings as clicks; clear errors.

usage: easyrec.py CLTRAIN
"""
import pathlib
import sys

import program as p

MODEL = """features:
  - {name: brand, hash_bucket_size: 2000, embedding_dim: 16, embedding_name: brand}
  - {name: price, hash_bucket_size: 200, embedding_dim: 4}
  - {name: pid, hash_bucket_size: 10, embedding_dim: 2}
  - {name: tag_brand_list, hash_bucket_size: 2000, embedding_dim: 16, embedding_name: brand}
feature_groups: {item: [brand, price, pid], user_seq: [tag_brand_list, brand]}
backbone:
  blocks:
    - {name: user_seq, inputs: [{feature_group_name: user_seq}],
       input_layer: {output_seq_and_normal_feature: true}}
    - name: contrastive
      inputs: [{package_name: encoder, package_input: augment},
               {package_name: encoder, package_input: augment}]
      merge_inputs_into_list: true
      AuxiliaryLoss: {loss_type: nce_loss, loss_weight: 0.01, temperature: 0.5}
    - name: main
      inputs: [{package_name: encoder, package_input: user_seq}, {feature_group_name: item}]
  packages:
    - name: augment
      blocks: [{name: view, inputs: [{block_name: user_seq}], SeqAugment: {crop_rate: 0.5}}]
    - name: encoder
      blocks:
        - name: bst
          inputs: [{use_package_input: true}]
          BST: {hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32,
                hidden_dropout_prob: 0, attention_probs_dropout_prob: 0,
                output_all_token_embeddings: false}
  concat_blocks: [main]
  top_mlp: {hidden_units: [32]}
"""
LEARNING = ["data.rows=20000", "train.epochs=5", "optim.lr=0.01", "eval.every_epochs=0"]


class Runs(p.Runs):
    def train(self, name, *more, ranks=1, expected=0):
        run_dir = self.folder / name
        output = self(["--config", "cl4srec_easyrec_ml100k.yaml", f"easyrec.model={self.folder}/m.yaml",
                       f"run.dir={run_dir}", "data.name=clicks_synthetic", "data.rows=4000",
                       "data.max_length=12", "train.global_batch=256", "metrics.enabled=false",
                       "eval.batch=300", *more], expected, ranks)
        return run_dir, output


def check_same_at_any_rank_count(run):
    arguments = ["run.dtype=float64", "train.steps=6", "data.rows=2000",
                 "easyrec.l2_regularization=0.01", "eval.every_epochs=0",
                 f"easyrec.model={run.folder}/dropout.yaml"]
    (run.folder / "dropout.yaml").write_text(MODEL.replace("prob: 0", "prob: 0.3"))
    one, _ = run.train("one", *arguments)
    three, _ = run.train("three", *arguments, ranks=3)
    for a, b in zip(p.read_steps(one), p.read_steps(three), strict=True):
        p.check(abs(a["loss"] - b["loss"]) <= 1e-9 * abs(a["loss"]), f"{a}\n{b}")
    a, b = p.summary(one)["eval"], p.summary(three)["eval"]
    p.check(a["rule"]["AUC"] == b["rule"]["AUC"], f"{a}\n{b}")
    p.check(abs(a["clicks"]["AUC"] - b["clicks"]["AUC"]) < 1e-9, f"{a}\n{b}")


def check_learns(run):
    run_dir, output = run.train("learns", *LEARNING, ranks=2)
    scores = {name: score["AUC"] for name, score in p.summary(run_dir)["eval"].items()}
    p.check(scores["rule"] > scores["clicks"] - 0.02, str(scores))
    # Without the lists nobody gets beyond 0.585.
    p.check(scores["clicks"] > 0.66 > 0.6 > scores["untrained_model"], str(scores))
    p.check(f"  the rule itself    {scores['rule']:.4f}" in output, output)
    p.check("every fifth row, 4000 rows" in output, output)
    p.check("contrastive_loss" in p.read_steps(run_dir)[0]["scalars"], "no contrast")
    return run_dir, scores


def check_afterwards(run, run_dir, scores):
    """The run has its own copy of the model, and holds to it."""
    model = run.folder / "m.yaml"
    model.rename(run.folder / "away.yaml")
    output = run(["eval", "--run", run_dir, "eval.batch=77"], ranks=3)
    p.check(f"AUC {scores['clicks']:.4f} rule_AUC {scores['rule']:.4f}" in output, output)
    run(["export", "--run", run_dir, "--out", run.folder / "w.safetensors"])
    p.check("rows of clicks" in run(["embed", "--run", run_dir, "--out", "x.npy"], expected=2), "embed")
    p.check("is none" in run(["recommend", "--run", run_dir, "--user", "1"], expected=2), "recommend")
    (run.folder / "m.yaml").write_text(MODEL.replace("loss_weight: 0.01", "loss_weight: 0.02"))
    output = run.train("learns", *LEARNING, expected=2)[1]
    p.check("is not what the run in" in output, output)
    (run.folder / "away.yaml").rename(model)


def check_resumes(run):
    more = ["train.epochs=2", "checkpoint.every=3", "eval.every_epochs=0"]
    straight, _ = run.train("straight", *more, ranks=2)
    _, output = run.train("halved", *more, "train.steps=5", ranks=2)
    halved, output = run.train("halved", *more, ranks=2)
    p.check("resumed at step" in output, output)
    p.check(p.summary(straight)["state_sha256"] == p.summary(halved)["state_sha256"], "other weights")


def check_ratings(run):
    rows = [f"u{user}\ti{(user * 7 + step * step) % 50}\t{1 + (user + step * 3) % 5}\t{step}\n"
            for user in range(40) for step in range(5 + user)]
    (run.folder / "films.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(rows))
    ratings = ["data.name=films", f"data.root={run.folder}", "train.epochs=1",
               "easyrec.model=easyrec/cl4srec_ml100k"]
    run_dir, output = run.train("films", *ratings)
    p.check("films.inter" in output and "the last tenth of each user's rows" in output, output)
    auc = p.summary(run_dir)["eval"]["clicks"]["AUC"]
    output = run(["eval", "--run", run_dir])
    p.check(f"AUC {auc:.4f}" in output, output)
    (run.folder / "lists.txt").write_text("1 2 3 4 5\n")
    p.check("no ratings" in run.train("x", *ratings, "data.name=lists", expected=3)[1], "lists")
    p.check("are clicks" in run.train("x", *ratings, "data.click_rating=9", expected=3)[1], "rating")


def check_plan(run):
    output = run(["plan", "--config", "cl4srec_easyrec_ml100k.yaml", "data.name=clicks_synthetic",
                  "data.rows=400", f"easyrec.model={run.folder}/m.yaml", "--ranks", "8"])
    p.check("cl4srec_easyrec, backbone, 8 ranks" in output and "(width 32, " in output, output)


def check_bad_input(run):
    bad = run.folder / "bad.yaml"
    for before, after, message in (
            ("SeqAugment: {crop_rate", "SeqAugment: {croprate", "nearest: crop_rate"),
            ("block_name: user_seq", "block_name: user_sek", "nearest: user_seq"),
            ("package_name: encoder, package_input: user_seq", "block_name: main", "waits for itself"),
            ("{feature_group_name: item}]", "{block_name: contrastive}]", "has no output"),
            ("name: price,", "name: prize, column: prize,", "there is no feature of this name"),
    ):
        bad.write_text(MODEL.replace(before, after))
        output = run.train("x", f"easyrec.model={bad}", expected=2)[1]
        p.check("bad.yaml:" in output and message in output, output)
    bad.write_text(MODEL.replace("name: price,", "name: price, column: prize,"))
    output = run.train("x", f"easyrec.model={bad}", expected=2)[1]
    p.check("the data have no column prize" in output and "nearest: price" in output, output)
    for option, message in (("easyrec.model=none", "no such config file"),
                            ("easyrec.model=", "easyrec.model is empty"),
                            ("data.name=fashion_mnist", "trains on rows of clicks"),
                            ("model.name=resnet18", "allowed with it: backbone"),
                            ("method.name=sasrec", "easyrec.model=")):
        p.check(message in run.train("x", option, expected=2)[1], option)


def main():
    cltrain = p.Program(sys.argv[1])
    with p.temporary_folder() as folder:
        run = Runs(cltrain, pathlib.Path(folder))
        (run.folder / "m.yaml").write_text(MODEL)
        check_same_at_any_rank_count(run)
        trained, scores = check_learns(run)
        check_afterwards(run, trained, scores)
        check_resumes(run)
        check_ratings(run)
        check_plan(run)
        check_bad_input(run)
    print(f"clicks are learnt: AUC {scores['clicks']:.4f}, the rule itself {scores['rule']:.4f}")


if __name__ == "__main__":
    main()

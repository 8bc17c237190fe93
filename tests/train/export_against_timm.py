#!/usr/bin/python3
"""Weights of cltrain's Vision Transformers in timm and back: the same features of the same images.

    tests/train/export_against_timm.py CLTRAIN

As export_against_torchvision.py, whose helpers it uses: trains a narrow vit_small for three steps, with
its patch projection frozen and not, exports it, loads the file into timm's network (strict=True) and
compares features; then takes timm's random weights, with classifier, into `cltrain embed --weights`.
What is frozen must not move. A config whose patch does not fit, or whose encoder is for clips,
is refused with exit code 2.
"""
import pathlib
import sys

import numpy
import torch
from timm.models.vision_transformer import VisionTransformer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
from export_against_torchvision import (MEAN, STD, make_images, read_safetensors,  # noqa: E402
                                        same_features, succeed, test_images, write_safetensors)
from program import Program, check, temporary_folder  # noqa: E402

SIZE, PATCH = 24, 8


def timm_net(classes=0):
    """A quarter of vit_small's width: 96 channels in 12 heads."""
    return VisionTransformer(img_size=SIZE, patch_size=PATCH, embed_dim=96, depth=12, num_heads=12,
                             num_classes=classes).eval()


def try_network(program, folder, images, options, freeze):
    name = f"vit-{'frozen' if freeze else 'trained'}"
    options = options + [f"model.freeze_patch={str(freeze).lower()}"]
    run, weights, out = folder / f"run-{name}", folder / f"{name}.safetensors", folder / f"{name}.npy"
    files = {}
    for steps in (1, 3):  # the second continues the first
        succeed(program, 2, options + [f"run.dir={run}", f"train.steps={steps}",
                                       "optim.warmup_epochs=0"])
        succeed(program, 1, ["export", "--run", str(run), "--out", str(weights)])
        files[steps], _ = read_safetensors(weights)
    for key in ("pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "cls_token",
                "blocks.11.attn.qkv.weight"):
        moved = not torch.equal(files[1][key], files[3][key])
        wanted = not (key == "pos_embed" or (freeze and key.startswith("patch_embed")))
        check(moved == wanted, f"{name}: {key} {'moved' if moved else 'did not move'} in training")
    net = timm_net()
    net.load_state_dict(files[3], strict=True)
    succeed(program, 1, ["embed", "--run", str(run), "--split", "test", "--out", str(out)])
    same_features(f"{name} exported", numpy.load(out), net, images)

    net = timm_net(classes=7)
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.add_(0.02 * torch.randn_like(tensor))
    given = folder / f"{name}-timm.safetensors"
    write_safetensors(given, net.state_dict())
    succeed(program, 2, ["embed"] + options + ["--weights", str(given), "--split", "test", "--out",
                                               str(out)])
    net.head = torch.nn.Identity()
    same_features(f"{name} taken over", numpy.load(out), net, images)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = Program(sys.argv[1])
    torch.manual_seed(5)
    with temporary_folder() as folder:
        folder = pathlib.Path(folder)
        root = folder / "images"
        make_images(root, SIZE, numpy.random.default_rng(5))
        options = ["--config", "simclr_large.yaml", f"data.root={root}", "model.name=vit_small",
                   "model.width=0.25", f"model.patch={PATCH}", f"augment.size={SIZE}",
                   f"augment.mean={list(MEAN)}", f"augment.std={list(STD)}", "data.workers=1",
                   "train.global_batch=8", "eval.enabled=false", "metrics.enabled=false"]
        for freeze in (True, False):
            try_network(program, folder, test_images(root), options, freeze)
        for change, part in (("model.patch=7", "model.patch=7 does not divide augment.size=24"),
                             ("model.name=r3d18", "model.name=r3d18 takes clips of video")):
            output = succeed(program, 2, options + [change, f"run.dir={folder / 'refused'}"], code=2)
            check(part in output, f"no '{part}' in\n{output}")
    print("PASSED")


if __name__ == "__main__":
    main()

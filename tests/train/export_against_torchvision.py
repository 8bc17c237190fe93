#!/usr/bin/python3
"""Weights of cltrain in torchvision and back: the same features of the same images.

    tests/train/export_against_torchvision.py CLTRAIN

Trains a ResNet-18 with a small stem and a ResNet-50 for two steps, exports them, loads the files into
torchvision's networks (strict=True) and compares their features with those of `cltrain embed`. Then
the other way: torchvision's random weights, with classifier, go into `cltrain embed --weights` and
into `model.init_from`. Last, a file that does not fit is refused with exit code 5.
The files are written and parsed here by hand: 8 bytes of length, JSON, raw tensors.
"""
import json
import pathlib
import struct
import sys

import numpy
import torch
import torchvision
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
from program import Program, check, temporary_folder  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOLERANCE = 1e-5  # times the largest feature, where that is above 1
TYPES = {"F32": torch.float32, "F64": torch.float64, "F16": torch.float16, "I64": torch.int64}


def read_safetensors(path):
    """The tensors by name, and the metadata."""
    data = pathlib.Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8: 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        raw = torch.frombuffer(bytearray(data[begin:end]), dtype=TYPES[entry["dtype"]])
        tensors[name] = raw.reshape(entry["shape"])
    return tensors, metadata


def write_safetensors(path, tensors):
    names = {dtype: name for name, dtype in TYPES.items()}
    header, pieces, position = {}, [], 0
    for name, tensor in tensors.items():
        raw = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [position, position + len(raw)]}
        position += len(raw)
        pieces.append(raw)
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(pieces))


def torchvision_net(name, small_stem, classifier=False):
    net = getattr(torchvision.models, name)(weights=None)
    if not classifier:
        net.fc = torch.nn.Identity()
    if small_stem:
        net.conv1 = torch.nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        net.maxpool = torch.nn.Identity()
    return net.eval()


def make_images(root, size, generator):
    """PNGs of just the size that the network takes: they are normalised and nothing else."""
    for split, count in (("train", 8), ("val", 6)):
        for label in ("a", "b"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count // 2):
                pixels = generator.integers(0, 256, (size, size, 3), dtype=numpy.uint8)
                Image.fromarray(pixels).save(folder / f"{number:03d}.png")


def test_images(root):
    """[n, 3, S, S] in the order of cltrain: by path."""
    pictures = [numpy.asarray(Image.open(path)) for path in sorted((root / "val").glob("*/*.png"))]
    x = torch.from_numpy(numpy.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN).reshape(1, 3, 1, 1)) / torch.tensor(STD).reshape(1, 3, 1, 1)


def same_features(what, found, net, images):
    with torch.no_grad():
        wanted = net(images)
    check(tuple(found.shape) == tuple(wanted.shape), f"{what}: {found.shape}, not {wanted.shape}")
    distance = (torch.from_numpy(found) - wanted).abs().max().item()
    size = wanted.abs().max().item()
    check(size > 1e-3, f"{what}: the features are all but zero, and compare nothing")
    check(distance <= TOLERANCE * max(1.0, size),
          f"{what}: features differ by {distance} at a size of {size}")
    print(f"{what}: {found.shape[0]} x {found.shape[1]} features, largest {size:.3f}, differ by at "
          f"most {distance:.2g}", flush=True)


def succeed(program, ranks, arguments, code=0):
    found, output = program.run(ranks, arguments)
    check(found == code, f"exit code {found}, not {code}: {' '.join(arguments)}\n{output}")
    return output


def try_network(program, folder, name, small_stem, size):
    generator = numpy.random.default_rng(5)
    torch.manual_seed(5)
    root = folder / f"images-{size}"
    make_images(root, size, generator)
    images = test_images(root)
    options = ["--config", "simclr_large.yaml", f"data.root={root}", f"model.name={name}",
               f"model.small_stem={str(small_stem).lower()}", f"augment.size={size}",
               f"augment.mean={list(MEAN)}", f"augment.std={list(STD)}", "data.workers=1",
               "train.global_batch=8", "eval.enabled=false", "metrics.enabled=false"]
    training = options + ["optim.warmup_epochs=0", "train.steps=2"]
    run = folder / f"run-{name}"

    # Out: what training left, in torchvision.
    succeed(program, 2, training + [f"run.dir={run}"])
    weights = folder / f"{name}.safetensors"
    succeed(program, 1, ["export", "--run", str(run), "--out", str(weights)])
    tensors, metadata = read_safetensors(weights)
    check(metadata["model"] == name and metadata["step"] == "2", f"metadata {metadata}")
    check(len(metadata["sha256"]) == 64, f"metadata {metadata}")
    net = torchvision_net(name, small_stem)
    initial = net.state_dict()
    check({key: (value.dtype, value.shape) for key, value in tensors.items()}
          == {key: (value.dtype, value.shape) for key, value in initial.items()},
          "names, types or shapes are not torchvision's")
    net.load_state_dict(tensors, strict=True)
    check(int(tensors["bn1.num_batches_tracked"]) == 2, "not two batches counted")
    out = folder / f"{name}.npy"
    succeed(program, 1, ["embed", "--run", str(run), "--split", "test", "--out", str(out)])
    same_features(f"{name} exported", numpy.load(out), net, images)

    # In: torchvision's weights, with running statistics of their own and a classifier.
    net = torchvision_net(name, small_stem, classifier=True)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    given = folder / f"{name}-torchvision.safetensors"
    write_safetensors(given, net.state_dict())
    succeed(program, 2, ["embed"] + options + ["--weights", str(given), "--split", "test", "--out",
                                               str(out)])
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    net.fc = torch.nn.Identity()
    same_features(f"{name} taken over", numpy.load(out), net, images)

    # A run that starts from them, at a rate that moves no weight.
    started = folder / f"run-{name}-started"
    succeed(program, 2, training + [f"run.dir={started}", f"model.init_from={given}",
                                    "train.steps=1", "optim.lr=1e-12", "optim.weight_decay=0"])
    again = folder / f"{name}-again.safetensors"
    succeed(program, 1, ["export", "--run", str(started), "--out", str(again)])
    tensors, _ = read_safetensors(again)
    for key, value in tensors.items():
        if "running_" not in key and "num_batches" not in key:
            check(torch.allclose(value, kept[key], rtol=0, atol=1e-6), f"init_from: {key} differs")

    # What does not fit is named, all of it, and nothing is started.
    del kept["layer1.0.conv1.weight"]
    kept["conv1.weight"] = torch.zeros(64, 3, 5, 5)
    kept["extra"] = torch.zeros(2)
    write_safetensors(given, kept)
    refused = folder / f"run-{name}-refused"
    output = succeed(program, 2, training + [f"run.dir={refused}", f"model.init_from={given}"],
                     code=5)
    for part in ("layer1.0.conv1.weight", "conv1.weight: the file has Float [64, 3, 5, 5]",
                 "only in the file: extra"):
        check(part in output, f"no '{part}' in\n{output}")
    check(not (refused / "checkpoints").exists(), "a refused run trained")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = Program(sys.argv[1])
    with temporary_folder() as folder:
        folder = pathlib.Path(folder)
        try_network(program, folder, "resnet18", small_stem=True, size=32)
        try_network(program, folder, "resnet50", small_stem=False, size=64)
    print("PASSED")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What the compiler made of the CUDA kernels of the loss, without a GPU: a line for each kernel.

usage: cuda_evidence.py CUOBJDUMP OBJECT... [--check]

  registers  of a thread when the kernel begins (consumers of the fused kernels take 232 then)
  stack      bytes a thread keeps in memory; local: instructions that load or store such bytes
  HGMMA      products of the tensor cores of Hopper; HMMA: those of earlier ones
  UTMALDG    copies of tiles by the tensor memory accelerator; UBLKCP: of plain bytes
  EX2        exponentials

With --check, exits with 1 unless every kernel is free of local memory, and every kernel of sm_90a
multiplies by HGMMA and loads by UTMALDG.
"""

import re
import subprocess
import sys

COUNTED = {"local": r"\b(LDL|STL)\b", "HGMMA": r"\bHGMMA", "HMMA": r"\bHMMA",
           "UTMALDG": r"\bUTMALDG", "UBLKCP": r"\bUBLKCP", "EX2": r"\bMUFU\.EX2"}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def readable(name):
    """weigh_kernel<float, float> instead of its mangled name in an unnamed namespace."""
    text = output("c++filt", name).strip()
    text = re.sub(r"cltrain::|\(anonymous namespace\)::|_GLOBAL__N__\w+::|_INTERNAL_\w+::", "", text)
    text = re.sub(r"\(int\)", "", text)
    return re.sub(r"^void ", "", text).split("(")[0]


def kernels_of(cuobjdump, path):
    """{(architecture, mangled name): {column: number}} of one object file."""
    found, architecture = {}, ""
    for line in output(cuobjdump, "--dump-resource-usage", path).splitlines():
        if match := re.match(r"arch = (\S+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function (\w+):", line):
            kernel = found.setdefault((architecture, match[1]), dict.fromkeys(COUNTED, 0))
        elif match := re.match(r"\s*REG:(\d+) STACK:(\d+)", line):
            kernel["registers"], kernel["stack"] = int(match[1]), int(match[2])
    kernel = None
    for line in output(cuobjdump, "--dump-sass", path).splitlines():
        if match := re.match(r"\s*arch = (\S+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function : (\w+)", line):
            kernel = found[architecture, match[1]]
        elif kernel is not None:
            for column, pattern in COUNTED.items():
                kernel[column] += bool(re.search(pattern, line))
    return found


def faults_of(architecture, name, kernel):
    if kernel["stack"] or kernel["local"]:
        yield f"{name} ({architecture}) keeps data in local memory"
    if architecture == "sm_90a" and not (kernel["HGMMA"] and kernel["UTMALDG"]):
        yield f"{name} ({architecture}) does not multiply by HGMMA and load by UTMALDG"


def main(arguments):
    check = "--check" in arguments
    arguments = [argument for argument in arguments if argument != "--check"]
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    columns = ["registers", "stack", *COUNTED]
    print("arch    " + " ".join(f"{column:>9}" for column in columns) + "  kernel")
    faults, architectures = [], set()
    for path in arguments[1:]:
        for (architecture, mangled), kernel in sorted(kernels_of(arguments[0], path).items()):
            name = readable(mangled)
            architectures.add(architecture)
            numbers = " ".join(f"{kernel[column]:>9}" for column in columns)
            print(f"{architecture:<7} {numbers}  {name}")
            faults += faults_of(architecture, name, kernel)
    if "sm_90a" not in architectures:
        faults.append("no kernel of sm_90a was found")
    for fault in faults if check else []:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if check and faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

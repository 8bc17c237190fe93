#!/usr/bin/env python3
"""Writes tests/data/golden/tars/: the same members as other programs write them to a tar: Python's
tarfile in its three formats, and GNU tar (with --format gnu and --format posix).

    tests/data/make_golden_tars.py

Run once by hand; its output is committed, and tests/data/tar_index_test.cpp compares with what MEMBERS
says here. Needs the tar program. The record size is reduced from 10 KiB to 512 bytes to save space.
"""

import io
import pathlib
import subprocess
import tarfile
import tempfile

OUT = pathlib.Path(__file__).resolve().parent / "golden" / "tars"
LONG = "/".join(["a-class-with-a-long-name", "d" * 60, "e" * 60, "f" * 40])
MEMBERS = {  # name: content
    "cat/1.jpg": b"first",
    LONG + "/second.png": b"second" * 200,
    "cat/" + "n" * 120 + ".jpeg": b"third",
    "dög/ünicode.jpg": b"",
    "dog/5.cls": b"5\n",
    "dog/5.jpg": b"x" * 512,
}


def by_python(name, form, members):
    tarfile.RECORDSIZE = 512
    with tarfile.open(OUT / name, "w", format=form) as out:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            info.mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
            out.addfile(info, io.BytesIO(content))


def by_gnu_tar(name, form):
    with tempfile.TemporaryDirectory() as folder:
        for member, content in MEMBERS.items():
            path = pathlib.Path(folder) / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        subprocess.run(["tar", "--create", "--file", OUT / name, "--format", form, "--blocking-factor=1",
                        "--owner=0", "--group=0", "--mtime=@1.5", "--directory", folder, "--no-recursion",
                        "./cat", *("./" + member for member in MEMBERS)], check=True)


def main():
    OUT.mkdir(exist_ok=True)
    by_python("python_gnu.tar", tarfile.GNU_FORMAT, MEMBERS)
    by_python("python_pax.tar", tarfile.PAX_FORMAT, MEMBERS)
    # A file name of 125 letters does not fit ustar; the long path is cut into prefix and name.
    short = {name: content for name, content in MEMBERS.items() if "nnn" not in name}
    by_python("python_ustar.tar", tarfile.USTAR_FORMAT, short)
    by_gnu_tar("tar_gnu.tar", "gnu")
    by_gnu_tar("tar_posix.tar", "posix")


if __name__ == "__main__":
    main()

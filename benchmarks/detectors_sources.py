"""How much source code of this machine's own files is known as such: `python -m benchmarks.detectors_sources DIR ...`.

Shell scripts (by their first line) and SQL files below the directories, one window of twenty lines of each file, drawn
by a fixed seed, that has at least five lines of code; and functions of this Python's standard library. Files are
divided into two halves by the order of their names: rules may be written while looking at what is missed in the first
(`--misses`), the second is only counted.
"""

from __future__ import annotations

import argparse
import ast
import random
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.detectors import wilson
from signalbox.detectors.scan import classify

LINES, LINES_MIN, FILE_CHARS_MAX = 20, 5, 200_000
SHELLS = (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash", b"#!/usr/bin/env sh")
COMMENTS = ("#", "--")
FUNCTIONS_OF_FILE = 3


def is_code(text: str) -> bool:
    return "source-code" in classify(text).names()


def windows(paths: Iterable[Path], rng: random.Random) -> Iterator[str]:
    for path in paths:
        lines = path.read_text("utf-8", "replace")[:FILE_CHARS_MAX].split("\n")
        start = rng.randrange(max(1, len(lines) - LINES))
        window = lines[start : start + LINES]
        if sum(bool(line.strip()) and not line.lstrip().startswith(COMMENTS) for line in window) >= LINES_MIN:
            yield "\n".join(window)


def functions(rng: random.Random) -> Iterator[str]:
    """Some functions of each module of the standard library that are longer than a line."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        source = path.read_text("utf-8", "replace")
        lines = source.split("\n")
        found = [
            "\n".join(lines[node.lineno - 1 : node.end_lineno])
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 2
        ]
        yield from rng.sample(found, min(FUNCTIONS_OF_FILE, len(found)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--misses", action="store_true", help="print what was missed in the first half")
    options = parser.parse_args()
    files = sorted(path for folder in options.directories for path in folder.rglob("*") if path.is_file())
    shell: list[Path] = []
    for path in files:
        try:
            with path.open("rb") as raw:
                if raw.read(32).startswith(SHELLS):
                    shell.append(path)
        except OSError:
            continue
    sets = {"shell": shell, "sql": [path for path in files if path.suffix == ".sql"]}
    print("| language | half | n | recall |\n|---|---|---|---|")
    for name, paths in sets.items():
        for half, title in ((0, "looked at"), (1, "kept apart")):
            texts = list(windows(paths[half::2], random.Random(1)))
            hits = [is_code(text) for text in texts]
            print(f"| {name} | {title} | {len(texts)} | {wilson(sum(hits), len(texts))} |")
            if options.misses and half == 0:
                for text, hit in zip(texts, hits, strict=True):
                    if not hit:
                        print("   ", repr(text[:400]))
    texts = list(functions(random.Random(1)))
    print(f"| python | standard library, kept apart | {len(texts)} | {wilson(sum(map(is_code, texts)), len(texts))} |")


if __name__ == "__main__":
    main()

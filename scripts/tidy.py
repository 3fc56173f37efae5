"""Lists what has outgrown the house's rooms, as a question and not as a failure: python scripts/tidy.py

Files over 400 lines, functions over 70, and the longest modules of each folder. The answer to a long file is to split
it by what it is about, or to leave it; this program always exits with 0.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "scripts", "benchmarks")
FILE_LINES = 400
FUNCTION_LINES = 70
LONGEST = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[tuple[str, str]]:
    """(path from the root, text) of every Python file of ours, in order of the path."""
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in found]


def functions(path: str, text: str) -> Iterator[tuple[int, str]]:
    """(lines, `path:line name`) of every function, decorators not counted."""
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, Function):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{path}:{node.lineno} {node.name}"


def report(title: str, rows: list[tuple[int, str]]) -> list[str]:
    """A heading and its rows, longest first."""
    lines = [f"{title}: {len(rows) or 'none'}"]
    lines += [f"  {count:5}  {what}" for count, what in sorted(rows, key=lambda row: (-row[0], row[1]))]
    return lines


def main() -> int:
    found = modules()
    sizes = [(text.count("\n"), path) for path, text in found]
    long_functions = [row for path, text in found for row in functions(path, text) if row[0] > FUNCTION_LINES]
    longest = sorted((row for row in sizes if row[1].startswith("src/")), reverse=True)[:LONGEST]
    out = [f"{len(sizes)} files, {sum(count for count, _ in sizes)} lines in {', '.join(FOLDERS)}", ""]
    out += [*report(f"Files over {FILE_LINES} lines", [row for row in sizes if row[0] > FILE_LINES]), ""]
    out += [*report(f"Functions over {FUNCTION_LINES} lines", long_functions), ""]
    out += report("Longest modules of the product", longest)
    sys.stdout.write("\n".join(out) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

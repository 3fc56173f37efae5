"""`signalbox catalogue show|update|describe|calibrate`: what the planner knows of models, hardware, prices, speed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import msgspec

from signalbox.bootstrap.clock import today
from signalbox.cli.options import add_json, add_state_dir
from signalbox.control.planner_files import BYTES_MAX, PlannerFiles
from signalbox.core.errors import ConfigError
from signalbox.planner.calibration import Point, calibrated
from signalbox.planner.catalogue.entries import Catalogue
from signalbox.planner.catalogue.hugging_face import from_config
from signalbox.planner.catalogue.read import SECTIONS, read
from signalbox.planner.measurements import LedgerRow, Served, from_guidellm, from_ledger
from signalbox.planner.model import step_time
from signalbox.planner.specs import Citation, Engine, PlannerError, Quantisation, ServingConfig

_SHOWN = {
    "models": ("name", "parameters", "active_parameters", "context_tokens", "native"),
    "gpus": ("name", "kind", "memory_bytes", "bandwidth_bytes_s", "watts"),
    "offers": ("vendor", "instance", "gpu", "gpus", "region", "commitment", "usd_per_hour"),
    "purchases": ("name", "gpu", "gpus", "usd", "watts"),
    "ceilings": ("model", "gpu", "output_tokens_per_s", "result"),
}

# How far the figures of an entry were compared with anything.
_CHECKED = {"source": "compared with it", "elsewhere": "compared with another publication", "no": "UNVERIFIED"}


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="show|update|describe|calibrate", required=True)
    shown = verbs.add_parser("show", help="the entries of one section, each with its source and date")
    shown.add_argument("section", choices=tuple(SECTIONS))
    updated = verbs.add_parser("update", help="add the entries of YAML or JSON files, in place of those they rename")
    updated.add_argument("files", nargs="+", type=Path, metavar="FILE")
    updated.add_argument("--dry-run", action="store_true", help="say what would change and change nothing")
    described = verbs.add_parser("describe", help="print the entry of a model, from its publisher's config.json")
    described.add_argument("file", type=Path, metavar="CONFIG.json")
    described.add_argument("--name", required=True, help="what the model is to be called")
    described.add_argument("--url", required=True, help="where the file comes from")
    measured = verbs.add_parser("calibrate", help="take measurements of a deployment into the performance model")
    measured.add_argument("files", nargs="+", type=Path, metavar="FILE", help="GuideLLM JSON, or `ledger query --json`")
    measured.add_argument("--model", required=True, help="the model, by its name in the catalogue")
    measured.add_argument("--gpu", required=True, help="the accelerator, by its name in the catalogue")
    measured.add_argument("--engine", choices=get_args(Engine), default="vllm")
    measured.add_argument("--quantisation", choices=get_args(Quantisation), default="fp8")
    measured.add_argument("--tensor-parallel", type=int, default=1, metavar="N")
    measured.add_argument("--data-parallel", type=int, default=1, metavar="N")
    measured.add_argument("--kv-bits", type=int, default=16, metavar="BITS", help="16 or 8")
    measured.add_argument("--replicas", type=int, default=1, metavar="N", help="that shared the measured load")
    for sub in (shown, updated, measured):
        add_state_dir(sub)
        add_json(sub)


def run(options: argparse.Namespace) -> int:
    if options.what == "describe":
        return _describe(options)
    files = PlannerFiles(options.state_dir)
    if options.what == "show":
        return _show(files.catalogue(), options.section, as_json=options.json)
    if options.what == "update":
        return _update(files, options)
    return _calibrate(files, options)


def _show(catalogue: Catalogue, section: str, *, as_json: bool) -> int:
    for entry in getattr(catalogue, section):
        if as_json:
            print(msgspec.json.encode(entry).decode())
        else:
            print("  ".join(f"{name}={_text(getattr(entry, name))}" for name in _SHOWN[section]), end="")
            print(f"  as of {entry.source.as_of}  {entry.source.url}  {_CHECKED[entry.source.checked]}")
    return 0


def _update(files: PlannerFiles, options: argparse.Namespace) -> int:
    """0 when the catalogue is whole afterwards, 1 when an entry names what is not in it; nothing is written then."""
    added = Catalogue()
    for path in options.files:
        added = added.merged(read(_content(path), str(path)))
    before = files.catalogue()
    after = before.merged(added)
    dangling = after.dangling()
    for problem in dangling:
        print(problem, file=sys.stderr)
    changes = {section: _changes(getattr(before, section), getattr(after, section)) for section in SECTIONS}
    if options.json:
        print(msgspec.json.encode(changes).decode())
    else:
        for section, (new, changed) in changes.items():
            if new or changed:
                print(f"{section}: {new} new, {changed} changed")
        if not any(new or changed for new, changed in changes.values()):
            print("nothing changes")
    if dangling:
        return 1
    if not options.dry_run:
        files.keep_catalogue(files.own().merged(added))
    return 0


def _describe(options: argparse.Namespace) -> int:
    """JSON that `catalogue update` reads, after somebody has looked at it."""
    source = Citation(url=options.url, as_of=today())
    try:
        spec = from_config(_content(options.file), options.name, source)
    except PlannerError as error:
        raise PlannerError(f"{options.file}: {error}") from None
    print(msgspec.json.format(msgspec.json.encode({"models": [spec]}), indent=1).decode())
    return 0


def _changes(before: Iterable[object], after: tuple[object, ...]) -> tuple[int, int]:
    old = list(before)
    return len(after) - len(old), sum(1 for was, now in zip(old, after, strict=False) if was != now)


def _calibrate(files: PlannerFiles, options: argparse.Namespace) -> int:
    catalogue = files.catalogue()
    try:
        config = ServingConfig(
            engine=options.engine,
            quantisation=options.quantisation,
            tensor_parallel=options.tensor_parallel,
            data_parallel=options.data_parallel,
            kv_bits=options.kv_bits,
        )
    except ValueError as error:
        raise PlannerError(str(error)) from None
    if options.replicas < 1:
        raise PlannerError("--replicas must be at least 1")
    served = Served(
        model=catalogue.model(options.model), gpu=catalogue.gpu(options.gpu), config=config, replicas=options.replicas
    )
    points: list[Point] = []
    rows: list[LedgerRow] = []
    for path in options.files:
        content = _content(path)
        try:
            if _is_report(content):
                points += from_guidellm(content, served)
            else:
                rows += _rows(content)
        except PlannerError as error:
            raise PlannerError(f"{path}: {error}") from None
    if rows:
        points += from_ledger(rows, served)
    known = files.calibration()
    after = calibrated(known, points)
    for point in points:
        asked = (point.model, point.gpu, point.config, point.mix, point.concurrency)
        old, new = (step_time(*asked, calibration)[0] * 1e3 for calibration in (known, after))
        shown = {"concurrency": point.concurrency, "measured_ms": point.tpot_s * 1e3, "before_ms": old, "after_ms": new}
        if options.json:
            print(msgspec.json.encode(shown).decode())
        else:
            print("  ".join(f"{name}={value:.3g}" for name, value in shown.items()))
    files.keep_calibration(after)
    return 0


def _is_report(content: bytes) -> bool:
    """Whether the file is one JSON document with `benchmarks`, rather than one JSON object a line."""
    first = content.lstrip().split(b"\n", 1)[0].strip()
    return not (first.startswith(b"{") and first.endswith(b"}") and b'"attempt_id"' in first)


def _rows(content: bytes) -> list[LedgerRow]:
    rows: list[LedgerRow] = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line, type=LedgerRow))
            except msgspec.DecodeError as error:
                raise PlannerError(f"line {number}: {error}") from None
    return rows


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > BYTES_MAX * 16:
            raise ConfigError([f"{path}: is larger than {BYTES_MAX * 16} bytes."])
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror})."]) from None


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

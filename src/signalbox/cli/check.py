"""`signalbox check`: what is wrong with a configuration, and what looks wrong."""

from __future__ import annotations

import argparse

import msgspec

from signalbox.bootstrap.compiling import compile_declared
from signalbox.cli.options import add_config, add_json, add_state_dir, needed_config
from signalbox.config.load import load
from signalbox.core.errors import ConfigError
from signalbox.policy.check import check


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_state_dir(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """0 without errors, 1 with a finding of level error, 2 when the file cannot be read as a configuration."""
    path = needed_config(options.config)
    try:
        declared = load(path)
        compiled = compile_declared(declared, 1)
    except ConfigError as error:
        if not options.json:
            raise
        for problem in error.problems:
            print(msgspec.json.encode({"level": "error", "message": problem}).decode())
        return 2
    findings = check(declared, compiled.snapshot)
    for finding in findings:
        if options.json:
            print(msgspec.json.encode(finding).decode())
        else:
            print(f"{finding.where}: {finding.level}: {finding.message}")
    errors = sum(finding.level == "error" for finding in findings)
    if not options.json:
        counts = f"{len(compiled.snapshot.deployments)} deployments, {len(compiled.snapshot.workloads)} workloads"
        counts += f", {len(compiled.snapshot.rules)} rules"
        print(f"{path}: {errors} errors, {len(findings) - errors} warnings ({counts})")
    return 1 if errors else 0

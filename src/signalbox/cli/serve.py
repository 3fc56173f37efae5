"""`signalbox serve`: the gateway and its control plane."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

import msgspec

from signalbox.bootstrap.options import ServeOptions, Started
from signalbox.bootstrap.serve import run_serve
from signalbox.cli.options import add_config, add_state_dir, config_path, port
from signalbox.telemetry.log import FORMAT_VARIABLE, FORMATS

SECRET_VARIABLES = ("SIGNALBOX_ADMIN_SECRET", "SIGNALBOX_ADMIN_SECRET_FILE")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_state_dir(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address of the data plane (default: %(default)s)")
    parser.add_argument("--port", type=port, default=8700, help="its port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--admin-host", default="127.0.0.1", help="address of the control plane (default: %(default)s)")
    parser.add_argument("--admin-port", type=port, default=8701, help="its port (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="data-plane processes (default: %(default)s)")
    parser.add_argument(
        "--log-format",
        choices=FORMATS,
        help=f"form of log lines on standard error (default: {FORMAT_VARIABLE}, or json)",
    )
    parser.add_argument("--json", action="store_true", help="print what is shown at start as one JSON object")


def run(options: argparse.Namespace) -> int:
    if not 1 <= options.workers <= 256:
        print("--workers must be between 1 and 256.", file=sys.stderr)
        return 2
    if options.log_format is not None:
        os.environ[FORMAT_VARIABLE] = options.log_format  # workers and the shipper inherit it
    environ = dict(os.environ)
    # Whatever is written is its owner's alone, whoever may enter the state directory.
    os.umask(0o077)
    # The processes that are started need it for nothing; those that strangers talk to least of all.
    os.environ.pop(SECRET_VARIABLES[0], None)
    stated = any(name in environ for name in SECRET_VARIABLES)
    return run_serve(
        ServeOptions(
            config=config_path(options.config),
            state_dir=options.state_dir,
            host=options.host,
            port=options.port,
            admin_host=options.admin_host,
            admin_port=options.admin_port,
            workers=options.workers,
            environ=environ,
            greet=_greet_json if options.json else partial(_greet, stated=stated),
        )
    )


def _greet(started: Started, *, stated: bool) -> None:
    """stated: the environment says what the admin secret is."""
    lines = [f"signalbox serves {started.url} (control plane {started.admin_url}), config {started.version}"]
    lines += list(started.found)
    if started.admin_secret is not None:
        lines.append(f"Admin secret, shown once: {started.admin_secret.reveal()}")
    if started.first_key is not None:
        key = started.first_key.reveal()
        lines += [f"First virtual key, shown once: {key}", "", *_first_calls(started, key)]
    else:
        lines.append("Keys made before go on working; `signalbox keys create --name NAME` makes another.")
        if started.admin_secret is None and not stated:
            lines.append("So does the admin secret of the first start; SIGNALBOX_ADMIN_SECRET sets another one.")
    print("\n".join(lines), flush=True)


def _first_calls(started: Started, key: str) -> list[str]:
    return [
        "Try it:",
        f"  curl {started.url}/v1/chat/completions -H 'Authorization: Bearer {key}' "
        "-H 'Content-Type: application/json' \\",
        """    -d '{"model":"auto","messages":[{"role":"user","content":"Hello"}]}'""",
        f"  OpenAI SDK:    OpenAI(base_url='{started.url}/v1', api_key='{key}')",
        f"  Anthropic SDK: Anthropic(base_url='{started.url}', api_key='{key}')",
    ]


def _greet_json(started: Started) -> None:
    shown = {
        "url": started.url,
        "admin_url": started.admin_url,
        "workers": started.workers,
        "config_version": started.version,
        "found": list(started.found),
        "admin_secret": started.admin_secret.reveal() if started.admin_secret is not None else None,
        "first_key": started.first_key.reveal() if started.first_key is not None else None,
        "start_seconds": round(started.seconds, 3),
    }
    print(msgspec.json.encode(shown).decode(), flush=True)

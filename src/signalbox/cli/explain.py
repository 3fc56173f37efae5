"""`signalbox explain`: where a request would go and why, without sending it and with the server running or not."""

from __future__ import annotations

import argparse
import sys

import msgspec

from signalbox.bootstrap.compiling import explainer_for
from signalbox.cli.options import add_config, add_json, add_state_dir, needed_config
from signalbox.config.load import load
from signalbox.control.explain import ESTIMATED, Explanation, Finding, Question
from signalbox.core.errors import CallError
from signalbox.policy.classify import declared
from signalbox.policy.interlock import leaving_out
from signalbox.wire.table import PUBLIC

_SHOWN_MAX = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workload", help="the workload to run in (default: what `model` names, as for a client)")
    parser.add_argument("--data", default="", help="data classes that the caller declares, such as phi,personal")
    parser.add_argument("--api", default="chat", choices=tuple(PUBLIC), help="the API it comes in by (%(default)s)")
    parser.add_argument("--team", default="", help="the caller's team, for rules that ask")
    parser.add_argument("--tenant", default="default", help="the caller's tenant, for rules that ask")
    add_config(parser)
    add_state_dir(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Reads the request from standard input. 0 when it would be served, 1 when it would be refused, 2 when the request
    or the configuration cannot be read."""
    try:
        declared(options.data)
    except CallError as error:
        # The same check as of a client's header; here it is the option that was mistyped.
        print(error.message.replace("x-signalbox-data", "--data"), file=sys.stderr)
        return 2
    path = needed_config(options.config)
    explainer = explainer_for(load(path))
    question = Question(
        request=msgspec.Raw(sys.stdin.buffer.read()),
        api=options.api,
        workload=options.workload,
        data=options.data,
        team=options.team,
        tenant=options.tenant,
    )
    try:
        explanation = explainer.explain(question)
    except CallError as error:
        print(error.message, file=sys.stderr)
        return 2
    if options.json:
        print(msgspec.json.encode(explanation).decode())
    else:
        _print(explanation)
    return 0 if explanation.choices or explanation.verdict == ESTIMATED else 1


def _print(told: Explanation) -> None:
    print(f"workload {told.workload}, api {told.api}: {told.verdict}")
    print(f"labels    {', '.join(told.labels)}")
    if told.raised:
        print(f"raised by {', '.join(f'{kind} x{count}' for kind, count in told.raised.items())}")
    if told.onward:
        print(f"onward    {', '.join(told.onward)}")
    for finding in told.findings[:_SHOWN_MAX]:
        print(f"found     {_found(finding)}")
    if told.findings_total > _SHOWN_MAX:
        print(f"          and {told.findings_total - _SHOWN_MAX} more (--json shows {len(told.findings)})")
    for place, choice in enumerate(told.choices, start=1):
        how = "" if choice.api == told.api else f", translated to {choice.api}"
        short = f", {'; '.join(choice.short)}" if choice.short else ""
        guard = f", once {choice.guard} has done its work" if choice.guard else ""
        print(f"choice {place}  {choice.deployment}@{choice.environment}{how}{guard}{short}  ({told.reason})")
    if told.tier is not None and told.tier.pushes:
        pushes = ", ".join(f"{one.feature} {one.by:+.3f}" for one in told.tier.pushes)
        print(f"tier      {told.tier.deployment} because {told.tier.why}: {pushes}")
    for name in told.unable:
        print(f"unable    {name}: permitted, but cannot do what the request asks for")
    for refusal in told.refused:
        why = [f"{one.rule} ({one.source})" if one.source else one.rule for one in refusal.reasons]
        print(f"refused   {refusal.deployment}@{refusal.environment}: {'; '.join(why)}")
    if told.without_onward:
        print(f"Without {leaving_out(told.onward)} it would be permitted at {', '.join(told.without_onward)}.")
    if told.relaxation is not None and told.relaxation.sentence():
        print(told.relaxation.sentence())


def _found(finding: Finding) -> str:
    where = finding.at or "across strings"
    span = f" {finding.start}..{finding.end}" if finding.start is not None else ""
    sure = "" if finding.raises else ", not sure enough to raise labels"
    label = f" ({finding.label})" if finding.label else ""
    return f"{finding.kind}{label} at {where}{span}, confidence {finding.confidence:.2f}{sure}"

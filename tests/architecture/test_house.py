"""What import-linter cannot see of the house: who may make permits, open connections, write fields, import plug-ins."""

import ast
import inspect
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import signalbox
from signalbox.config import schema_deployments, schema_words, schema_workloads
from signalbox.core.call import Call
from signalbox.core.labels import LEVELS
from signalbox.core.permit import Permit
from signalbox.core.snapshot import APIS
from signalbox.routing.strategies import STRATEGIES
from signalbox.routing.translation import TRANSLATIONS
from signalbox.upstream.providers import PROVIDERS, ProviderName
from signalbox.upstream.transport import Transport
from signalbox.wire.table import DIALECTS

SOURCE = Path(signalbox.__file__).parent
REPOSITORY = SOURCE.parent.parent
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in FILES}


def module_of(file: str) -> str:
    return "signalbox." + file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, and every name imported from one as if it were a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


IMPORTS = {file: frozenset(imports(tree)) for file, tree in TREES.items()}


def importers(module: str) -> set[str]:
    return {file for file, imported in IMPORTS.items() if module in imported}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """(last part of what is called, the call)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id, node
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr, node


CALLS = {file: list(calls(tree)) for file, tree in TREES.items()}


def callers(name: str) -> set[str]:
    return {file for file in TREES if any(called == name for called, _ in CALLS[file])}


# --- permits and connections ---


def test_only_the_interlock_makes_permits() -> None:
    assert callers("Permit") == {"policy/interlock.py"}


def test_nobody_makes_a_permit_from_another_or_from_bytes() -> None:
    for file, made in CALLS.items():
        for name, call in made:
            if name in ("replace", "force_setattr", "convert", "decode", "Decoder", "copy", "deepcopy", "__new__"):
                for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
                    assert "permit" not in ast.unparse(argument).lower().split("."), (file, ast.unparse(call))


def test_a_permit_cannot_be_changed() -> None:
    assert Permit.__struct_config__.frozen


def test_what_sends_takes_a_permit_first() -> None:
    first = list(inspect.signature(Transport.send).parameters.values())[1]
    assert (first.name, first.annotation) == ("permit", "Permit")


OPENERS = {"open_connection", "create_connection", "sock_connect", "connect", "connect_ex", "open_unix_connection"}
OPENERS |= {"create_unix_connection"}
# Besides the transport: what probes for local servers before there is any call, and the pipes between our processes,
# which are given an existing socket; the database; the shared cache, which gets sealed answers only; the bell of our
# own supervisor, which carries nothing; and what calls our own gateway as its clients do.
MAY_OPEN = {
    "config/discover.py",
    "store/postgres.py",
    "cache/shared_server.py",
    "control/deployment_bench.py",
    "control/doorbell.py",
    "control/playground.py",
}


def test_only_the_transport_opens_connections() -> None:
    for file, made in CALLS.items():
        if file.startswith("upstream/") or file in MAY_OPEN:
            continue
        for name, call in made:
            if name in OPENERS and "sqlite3" not in ast.unparse(call.func):
                assert {keyword.arg for keyword in call.keywords} >= {"sock"}, (file, ast.unparse(call))


# Besides what opens connections: the sides that are connected to.
MAY_ENCRYPT = ("upstream/", "cache/shared_server.py", "gateway/tls.py", "simulator/ports.py", "simulator/server.py")
CLIENTS = ("http.client", "urllib.request", "ftplib", "smtplib", "xmlrpc", "requests", "httpx", "aiohttp", "urllib3")


def test_there_is_no_other_client_of_anything() -> None:
    for file, imported in IMPORTS.items():
        for module in imported:
            if (file, module) == ("cli/kill.py", "http.client"):
                continue  # the command line asks our own control plane, and carries nothing of a call
            assert not module.startswith((*CLIENTS, "openai", "anthropic")), (file, module)
            assert module != "ssl" or file.startswith(MAY_ENCRYPT), file
            assert not module.startswith("subprocess") or file.startswith(("cli/", "control/")), (file, module)


# --- the call record ---


def written_fields() -> dict[str, set[str]]:
    """Field of a call to the modules that assign it, through any variable or attribute named call."""
    found: dict[str, set[str]] = {}
    for file, tree in TREES.items():
        if file == "core/call.py" or file.startswith("simulator/"):
            continue
        for node in ast.walk(tree):
            targets: list[ast.expr] = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AugAssign | ast.AnnAssign):
                targets = [node.target]
            flat = [part for target in targets for part in getattr(target, "elts", [target])]
            for target in flat:
                if isinstance(target, ast.Attribute) and ast.unparse(target.value).split(".")[-1] in ("call", "_call"):
                    found.setdefault(target.attr, set()).add(file)
    return found


def test_every_field_of_a_call_has_one_writer() -> None:
    """What comes from the client is written by the constructor: at the edge, by explain and trials of guards, which
    send nothing, and where the gateway calls for itself."""
    fields = Call.__struct_fields__
    given = set(fields[: fields.index("trace") + 1])
    written = written_fields()
    assert not given & set(written), "what the client sent is never changed"
    makers = {file for file in callers("Call") if "signalbox.core.call.Call" in IMPORTS[file]}
    own = {"control/explain.py", "control/guard_trial.py", "pipeline/dispatch.py", "pipeline/repairing.py"}
    assert makers == own | {"gateway/endpoints.py"}
    for file in makers:
        for node in ast.walk(TREES[file]):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Call":
                assert {keyword.arg for keyword in node.keywords} <= given, file
                assert len(node.args) <= len(given), file
    for field in sorted(set(fields) - given):
        # explain fills a call of its own, as pipeline/run fills the one that is sent. So does pipeline/dispatch.
        writers = written.get(field, set()) - {"control/explain.py", "control/guard_trial.py"}
        assert field == "errand" or len(writers) == 1, (field, writers)
    assert set(written) <= set(fields)


# --- modules ---


def test_every_module_begins_by_saying_what_lives_there() -> None:
    for file, tree in TREES.items():
        docstring = ast.get_docstring(tree)
        assert docstring, file
        first = docstring.split("\n\n")[0].rstrip()
        assert first[0].isupper() or first[0] in "`0123456789", (file, first)
        assert first.endswith((".", ":")), (file, first)


def test_our_own_code_is_imported_at_the_top_only() -> None:
    """The one exception: verbs of the command line are loaded by module path, so that workers stay small."""
    for file, tree in TREES.items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                assert not [name for name in imports(function) if name.startswith("signalbox")], (file, function.name)
    # Other people's, which need not be installed.
    extras = {"ledger/parquet.py", "embedding/extras.py", "control/readings/plans.py"}
    # The console, when somebody comes for the first time: calls need nothing of it.
    extras |= {"bootstrap/admin.py"}
    assert callers("import_module") | callers("__import__") == {"cli/main.py", "cli/words.py"} | extras


def test_no_room_is_called_after_nothing() -> None:
    for path in FILES:
        for part in path.relative_to(SOURCE).parts:
            words = part.removesuffix(".py").split("_")
            assert not set(words) & {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}, path


def test_nothing_runs_at_the_start_of_every_python() -> None:
    """A `.pth` in a wheel is how a stolen release key becomes everybody's problem."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.splitlines() or [path.name for path in REPOSITORY.rglob("*") if ".venv" not in path.parts]
    odd = ("sitecustomize.py", "usercustomize.py")
    assert not [name for name in tracked if name.endswith((".pth", ".so", ".pyc", ".pyd")) or name.endswith(odd)]
    assert "pth" not in (REPOSITORY / "pyproject.toml").read_text()


# --- plug-ins ---

TABLES = {
    # table module: the file that alone may import what the table lists
    "upstream/providers.py": {f"signalbox.upstream.{name}" for name in ("openai", "anthropic", "scanners")},
    "wire/table.py": {
        "signalbox.wire.openai_chat",
        "signalbox.wire.openai_responses",
        "signalbox.wire.anthropic_messages",
        "signalbox.wire.openai_completions",
        "signalbox.wire.openai_embeddings",
        "signalbox.wire.scans",
    },
}


@pytest.mark.parametrize("table", TABLES)
def test_plug_ins_are_imported_by_their_table_only(table: str) -> None:
    folder = table.split("/")[0]
    contract = {"signalbox.upstream.adapter", "signalbox.wire.dialect"}
    own = {name for name in IMPORTS[table] if name in {module_of(file) for file in TREES}} - contract
    assert own == TABLES[table], f"the table {table} lists other plug-ins than this test knows"
    for module in own:
        assert importers(module) == {table}, module
    assert all(module.startswith(f"signalbox.{folder}.") for module in own)


def test_strategies_are_picked_by_the_router_only() -> None:
    assert {file for file, imported in IMPORTS.items() if "signalbox.routing.strategies.STRATEGIES" in imported} == {
        "routing/router.py"
    }


def test_only_the_composition_names_a_store() -> None:
    outside = {file for file in importers("signalbox.store.sqlite") if not file.startswith("store/")}
    assert outside <= {"bootstrap/storage.py"}


def test_settings_offer_exactly_what_the_tables_have() -> None:
    assert set(get_args(schema_deployments.Protocol)) == set(PROVIDERS) == set(get_args(ProviderName))
    assert set(get_args(schema_workloads.Strategy)) == set(STRATEGIES)
    assert get_args(schema_words.Api) == APIS
    assert set(DIALECTS) == set(APIS) == set(TRANSLATIONS)
    assert get_args(schema_words.Level) == LEVELS
    for name, adapter in PROVIDERS.items():
        assert adapter.name == name
        assert adapter.apis <= set(APIS)
    for api, dialect in DIALECTS.items():
        assert dialect.api == api


def test_no_model_runs_the_control_plane() -> None:
    """What asks a model does so through one port, and nothing that plans, judges, changes or shows the installation
    holds it: words in prompts and answers have nothing there to move."""
    port = re.compile(r"\bDispatch\b")
    asks = {path.relative_to(SOURCE).parts[0] for path in FILES if port.search(path.read_text())}
    assert asks == {"core", "pipeline", "guard"}

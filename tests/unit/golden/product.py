"""The parts of the product that the goldens need. A move of the code edits this file and no other of this folder."""

import ast
import io
import re
import tempfile
from collections.abc import Iterable, Iterator
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import typer
import yaml
from typer.testing import CliRunner

from tallystick.cli.installing import install_parts
from tallystick.cli.main import app
from tallystick.cli.settings import feature_settings
from tallystick.controller.cache import ObjectCache
from tallystick.controller.serving_certificate import ServingCertificate
from tallystick.controller.serving_plan import Names
from tallystick.crypto.keys import SigningKey
from tallystick.exchange.app import api_of
from tallystick.install.installation import Installation
from tallystick.install.manifests import manifests
from tallystick.localplane.probe import free_ports
from tallystick.objects.context import Context
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.domain.requester import RequesterMode
from tallystick.registry import FEATURES, KINDS
from tallystick.runtime.audit import AuditLog
from tallystick.runtime.metrics import CODE_CLASSES, RESULTS, VERBS, reconciled_kinds
from tallystick.schema.builtin import SECRETS
from tallystick.tokens.key_care import KeyCare, KeyPolicy, Served
from tallystick.tokens.keyrings import Keyrings
from tests.builders import ISSUER
from tests.fakes import AuditLine, FakeClock, FakeCluster, MemoryAudit, MemoryEvents

__all__ = ["SECRETS", "SigningKey", "free_ports"]

# Calls whose first argument is the action of an audit line.
WRITES_AUDIT_LINES = frozenset({"record", "_audit_of", "audit"})
_WORD = re.compile(r"[a-z]+(-[a-z]+)*")


def command_line(*arguments: str) -> str:
    """Run `tallystick` in this process, and return its standard output."""
    done = CliRunner().invoke(app, arguments, prog_name="tallystick", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def commands() -> Iterator[tuple[str, ...]]:
    """Walk the tree of commands: () is `tallystick`, ("signing-keys", "list") is `tallystick signing-keys list`."""
    yield from _walk(typer.main.get_command(app), ())


def _walk(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _walk(inner, (*path, name))


def manifests_of_two_watched_namespaces() -> str:
    """Render an installation that differs from the default one in all that it can; no command prints it yet."""
    installation = Installation(
        namespace="machine-trust",
        release="line-2",
        watch_namespaces=("edge", "plant-7"),
    )
    table = {"useCases": {name: {"scope": ["any"]} for name in ("press", "telemetry")}}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(table, file)
        settings = feature_settings(requester=RequesterMode.SERVICE_ACCOUNT, use_cases_file=Path(file.name))
        parts = install_parts(installation, FEATURES, settings)
    return yaml.safe_dump_all(manifests(installation, KINDS, parts), sort_keys=False)


def closed_label_values() -> dict[str, list[str]]:
    """Return the values that a label may have, by metric and label; the product counts any other value as `other`."""
    api = api_of(feature.api for feature in FEATURES)
    return {
        "tallystick_reconciles kind": sorted(reconciled_kinds(KINDS)),
        "tallystick_reconciles result": sorted(RESULTS),
        "tallystick_exchange_responses endpoint": sorted(api.metrics),
        "tallystick_exchange_responses outcome": sorted(api.outcomes),
        "tallystick_api_calls verb": sorted(VERBS),
        "tallystick_api_calls code": sorted(CODE_CLASSES.values()),
    }


def written_by(component: str, lines: Iterable[AuditLine]) -> list[str]:
    """Return the lines as the audit log of a process writes them."""
    stream = io.StringIO()
    log = AuditLog(stream, FakeClock(), component)
    for line in lines:
        log.record(line.action, line.outcome, **line.facts)
    assert log.failures == 0
    return stream.getvalue().splitlines()


async def care_for_keys_twice() -> list[AuditLine]:
    """Let the leader create a key, rotate it after 90 days, and drop it when nothing needs it any more."""
    clock, audit = FakeClock(), MemoryAudit()
    cluster = FakeCluster(clock=clock)
    keyrings = Keyrings(cluster, clock, namespace="tallystick-system", issuer=ISSUER)
    served = Served(cluster=cluster, kinds=KINDS, objects=ObjectCache(KINDS))
    care = KeyCare(
        keyrings, served, KeyPolicy(), clock=clock, audit=audit, on_age=lambda _: None, on_change=lambda: None
    )
    for days in (0, 91, 1):
        clock.advance(timedelta(days=days).total_seconds())
        await care.look()
        await care.run()
    return audit.lines


async def keep_a_certificate_for_years() -> list[AuditLine]:
    """Let the leader make a CA and a certificate, and renew both."""
    clock, audit = FakeClock(), MemoryAudit()
    ctx = Context(clock, ServerClock(clock), audit, MemoryEvents())
    care = ServingCertificate(
        FakeCluster(clock=clock),
        ctx,
        Names.of("tallystick-exchange", "tallystick-system", [ISSUER]),
        on_new_ca=lambda: None,
        on_expiry=lambda _: None,
    )
    for days in (0, 3000):
        clock.advance(timedelta(days=days).total_seconds())
        await care.run()
    return audit.lines


def decisions_in_source() -> set[tuple[str, str | None]]:
    """Find action and outcome of every audit line in the source; the outcome is None where the code computes it."""
    spec = find_spec("tallystick")
    assert spec is not None
    assert spec.origin is not None
    nodes = [
        node
        for path in Path(spec.origin).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    written = (_decision(node) for node in nodes if isinstance(node, ast.Call))
    computed = ((action, None) for node in nodes for action in _computed_actions(node))
    return {*filter(None, written), *computed}


def _computed_actions(node: ast.AST) -> Iterator[str]:
    """Yield the actions that are assigned to a variable `action`, or that a function `_action` returns."""
    if isinstance(node, ast.Assign) and [getattr(one, "id", "") for one in node.targets] == ["action"]:
        values: Iterable[ast.expr | None] = [node.value]
    elif isinstance(node, ast.FunctionDef) and node.name == "_action":
        values = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
    else:
        return
    for value in values:
        branches = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
        yield from filter(None, (_word(one) for one in branches if one is not None))


def _decision(call: ast.Call) -> tuple[str, str | None] | None:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name not in WRITES_AUDIT_LINES or not call.args:
        return None
    action, *rest = (_word(argument) for argument in call.args)
    return None if action is None else (action, next(iter(rest), None))


def _word(argument: ast.expr) -> str | None:
    value = argument.value if isinstance(argument, ast.Constant) else None
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None

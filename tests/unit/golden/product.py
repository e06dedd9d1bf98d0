"""The parts of the product that the goldens need. A move of the code edits this file and no other of this folder."""

import ast
import io
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import typer
import yaml
from typer.testing import CliRunner

from tallystick.cli.main import app
from tallystick.controller.controller import Controller, ControllerSettings
from tallystick.crypto.keys import SigningKey
from tallystick.install.crds import crds
from tallystick.install.installation import Installation
from tallystick.install.policies import policies
from tallystick.install.rbac import rbac
from tallystick.localplane.probe import free_ports
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.domain.requester import RequesterMode
from tallystick.registry import ADMISSIONS, KINDS
from tallystick.runtime.audit import AuditLog
from tallystick.runtime.metrics import CODE_CLASSES, ENDPOINTS, OUTCOMES, RESULTS, VERBS, make_metrics
from tallystick.runtime.metrics import KINDS as METRIC_KINDS
from tallystick.schema.builtin import SECRETS
from tests.builders import a_policy
from tests.fakes import AuditLine, FakeClock, FakeCluster, MemoryAudit

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
    """Walk the tree of commands: () is `tallystick` itself, ("keys", "list") is `tallystick keys list`."""
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
        requester=RequesterMode.SERVICE_ACCOUNT,
        use_cases=("press", "telemetry"),
    )
    everything = [*crds(KINDS), *rbac(installation, KINDS), *policies(installation, KINDS, ADMISSIONS)]
    return yaml.safe_dump_all(everything, sort_keys=False)


def closed_label_values() -> dict[str, list[str]]:
    """Return the values that a label may have, by metric and label; the product counts any other value as `other`."""
    return {
        "tallystick_reconciles kind": sorted(METRIC_KINDS),
        "tallystick_reconciles result": sorted(RESULTS),
        "tallystick_exchange_answers endpoint": sorted(ENDPOINTS),
        "tallystick_exchange_answers outcome": sorted(OUTCOMES),
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
    """Let the leader rotate a key that is older than 90 days, and drop it when nothing needs it any more."""
    clock, audit = FakeClock(), MemoryAudit()
    settings = ControllerSettings(namespace="tallystick-system", identity="one", policy=a_policy())
    controller = Controller(
        FakeCluster(clock=clock),
        settings,
        kinds=KINDS,
        clock=clock,
        server_clock=ServerClock(clock),
        audit=audit,
        metrics=make_metrics(),
    )
    for days in (0, 91, 1):
        clock.advance(timedelta(days=days).total_seconds())
        await controller._keyrings.ensure("ES256")
        await controller._care_for_keys()
    return audit.lines


def decisions_in_source() -> set[tuple[str, str | None]]:
    """Find action and outcome of every audit line in the source; the outcome is None where the code computes it."""
    spec = find_spec("tallystick")
    assert spec is not None
    assert spec.origin is not None
    return {
        decision
        for path in Path(spec.origin).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and (decision := _decision(node)) is not None
    }


def _decision(call: ast.Call) -> tuple[str, str | None] | None:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name not in WRITES_AUDIT_LINES or not call.args:
        return None
    action, *rest = (_word(argument) for argument in call.args)
    return None if action is None else (action, next(iter(rest), None))


def _word(argument: ast.expr) -> str | None:
    value = argument.value if isinstance(argument, ast.Constant) else None
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None

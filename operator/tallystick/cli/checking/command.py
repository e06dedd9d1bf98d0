"""Run `tallystick check` in a cluster: once, or until all checks pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tallystick.cli.checking.checks import Checks, Expected
from tallystick.cli.checking.report import Finding, first_failure, rendered
from tallystick.cli.installing import install_parts
from tallystick.cli.settings import FeatureSettings
from tallystick.install.installation import EXCHANGE, Installation
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.objects.labels import CLI_MANAGER
from tallystick.registry import FEATURES, KINDS

PAUSE_SECONDS = 1.0
CALL_SECONDS = 10.0

Print = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """The options of `tallystick check`.

    Attributes:
        namespace: The namespace of the operator.
        release: The name of the installation.
        public_urls: The URLs of the exchange; empty for that of its Service.
        issuer: The issuer of all tokens; "" for the first URL.
        ca_file: The CA of the exchange; None for those of the system.
        wait: The time in which all checks must pass.
        settings: The settings of the features.
        kubeconfig: The kubeconfig file; None for the usual one.
        context: Its context; None for the current one.
    """

    namespace: str
    release: str
    public_urls: tuple[str, ...]
    issuer: str
    ca_file: Path | None
    wait: timedelta
    settings: FeatureSettings
    kubeconfig: Path | None
    context: str | None


def expected_of(options: CheckOptions) -> Expected:
    """Return the installation that the options describe."""
    installation = Installation(namespace=options.namespace, release=options.release)
    urls = options.public_urls or (f"https://{options.release}-{EXCHANGE}.{options.namespace}.svc",)
    return Expected(
        installation=installation,
        kinds=tuple(kind.resource for kind in KINDS),
        parts=install_parts(installation, FEATURES, options.settings),
        urls=urls,
        issuer=options.issuer or urls[0],
        ca_file=options.ca_file,
    )


def check(options: CheckOptions, show: Print) -> bool:
    """Check an installation, print the result, and return whether all checks passed.

    Raises:
        InvalidSettingError: A setting cannot be used.
    """
    return asyncio.run(_check(options, show))


async def _check(options: CheckOptions, show: Print) -> bool:
    dates: list[datetime] = []

    def note(date: datetime) -> None:
        dates[:] = [date]

    connection = Connection(kubeconfig=options.kubeconfig, context=options.context)
    async with KubeCluster(
        connection, field_manager=CLI_MANAGER, timeout_seconds=CALL_SECONDS, on_date=note
    ) as cluster:
        checks = Checks(cluster, expected_of(options), lambda: dates[0] if dates else None)
        findings = await until_passed(checks.run, options.wait.total_seconds(), show)
    show(rendered(findings))
    return first_failure(findings) is None


async def until_passed(run: Callable[[], Awaitable[list[Finding]]], seconds: float, show: Print) -> list[Finding]:
    """Run all checks until they pass or the time is over; return the last findings. Show each new failure."""
    deadline, shown = time.monotonic() + seconds, None
    while True:
        findings = await run()
        failure = first_failure(findings)
        if failure is None or time.monotonic() >= deadline:
            return findings
        if failure != shown:
            show(f"waiting: {failure.subject}: {failure.text}")
            shown = failure
        await asyncio.sleep(PAUSE_SECONDS)

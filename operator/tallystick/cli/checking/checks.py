"""The checks of `tallystick check`, each of one part of an installation. They read, and create only by dry runs."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tallystick.cli.checking.exchange import ExchangeProblemError, SeenExchange, look_at, trust
from tallystick.cli.checking.report import Finding, Verdict
from tallystick.controller.controller import LEASE
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.install.part import InstallPart, Probe, Target
from tallystick.objects.ports import ClusterError, NotFoundError
from tallystick.objects.redaction import one_line
from tallystick.schema.builtin import LEASES
from tallystick.schema.meta import Resource
from tallystick.schema.times import rfc3339

Json = dict[str, Any]

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
# A leader renews every 2 seconds, and another replica takes over after 15.
STALE_SECONDS = 60.0
MOST_BYTES = 640
CERTIFICATE_ISSUERS = "by tls.mode: the controller, cert-manager, or your own"


class CheckedCluster(Target, Protocol):
    """The API server, as the checks use it. They neither apply nor delete."""

    async def served(self, resources: Collection[Resource]) -> set[Resource]:
        """Return those of these kinds that the API server serves."""
        ...


@dataclass(frozen=True, slots=True)
class Expected:
    """The installation as it should be.

    Attributes:
        installation: Its namespace and release.
        kinds: Its kinds.
        parts: The parts of the features, with the probes of their policies.
        urls: The URLs of the exchange; not empty.
        issuer: The issuer of all tokens.
        ca_file: The CA of the exchange; None for those of the system.
    """

    installation: Installation
    kinds: tuple[Resource, ...]
    parts: Sequence[InstallPart]
    urls: tuple[str, ...]
    issuer: str
    ca_file: Path | None = None


@dataclass(slots=True)
class Checks:
    """All checks of one installation.

    Args:
        cluster: The API server.
        expected: The installation as it should be.
        server_time: Returns the time of the API server as last reported; None before.
        look: Looks at the exchange under a URL.
    """

    cluster: CheckedCluster
    expected: Expected
    server_time: Callable[[], datetime | None] = lambda: None
    look: Callable[..., SeenExchange] = look_at
    _findings: list[Finding] = field(default_factory=list)

    async def run(self) -> list[Finding]:
        """Run all checks once; raises InvalidSettingError if `--ca-file` cannot be used."""
        self._findings = []
        await self._check("kinds", self._kinds)
        for part in self.expected.parts:
            for what, probe in part.probes.items():
                await self._check("admission", partial(self._probe, what, probe))
        await self._check("leader", self._leader)
        for name in (CONTROLLER, EXCHANGE):
            await self._check("replicas", partial(self._replicas, f"{self.expected.installation.release}-{name}"))
        for url in self.expected.urls:
            await self._exchange(url)
        return self._findings

    async def _check(self, subject: str, check: Callable[[], Awaitable[tuple[Verdict, str]]]) -> None:
        try:
            verdict, text = await check()
        except ClusterError as error:
            verdict, text = Verdict.FAILED, one_line(str(error), MOST_BYTES)
        self._add(subject, verdict, text)

    def _add(self, subject: str, verdict: Verdict, text: str) -> None:
        self._findings.append(Finding(subject, verdict, text))

    async def _kinds(self) -> tuple[Verdict, str]:
        kinds = self.expected.kinds
        missing = sorted(one.kind for one in set(kinds) - await self.cluster.served(kinds))
        if missing:
            return Verdict.FAILED, f"the API server does not serve {', '.join(missing)}; install the CRDs"
        return Verdict.OK, f"the API server serves all {len(kinds)} kinds"

    async def _probe(self, what: str, probe: Probe) -> tuple[Verdict, str]:
        if await probe(self.cluster):
            return Verdict.OK, what
        return Verdict.FAILED, f"not so: {what}; wait, or install the admission policies and their bindings again"

    async def _leader(self) -> tuple[Verdict, str]:
        namespace = self.expected.installation.namespace
        advice = f"read the logs of {self.expected.installation.release}-{CONTROLLER}"
        try:
            spec = (await self.cluster.get(LEASES, namespace, LEASE)).get("spec", {})
        except NotFoundError:
            return Verdict.FAILED, f"no controller has led in namespace {namespace} yet; {advice}"
        holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
        if not holder:
            return Verdict.FAILED, f"no controller leads; {advice}"
        age = self._age(renewed)
        if age > STALE_SECONDS:
            return Verdict.FAILED, f"{holder} has not renewed its Lease for {age:.0f} s; {advice}"
        return Verdict.OK, f"{holder} leads"

    def _age(self, renewed: str) -> float:
        return (self._now() - datetime.fromisoformat(renewed)).total_seconds()

    def _now(self) -> datetime:
        return self.server_time() or datetime.now(UTC)

    async def _replicas(self, name: str) -> tuple[Verdict, str]:
        namespace = self.expected.installation.namespace
        try:
            deployment = await self.cluster.get(DEPLOYMENTS, namespace, name)
        except NotFoundError:
            return Verdict.SKIPPED, f"there is no Deployment {namespace}/{name}"
        wanted, status = int(deployment["spec"].get("replicas", 1)), deployment.get("status", {})
        ready, updated = int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0))
        observed = status.get("observedGeneration") == deployment["metadata"].get("generation")
        text = f"{name}: {ready} of {wanted} replicas are ready"
        if observed and ready >= wanted and updated >= wanted:
            return Verdict.OK, text
        old = "" if updated >= wanted else f", and {updated} have the present settings"
        return Verdict.FAILED, f"{text}{old}; read `reason` at /readyz of the pods that are not ready, or their logs"

    async def _exchange(self, url: str) -> None:
        context = trust(self.expected.ca_file)
        try:
            seen = await asyncio.to_thread(self.look, url, context)
        except ExchangeProblemError as problem:
            self._add("exchange", Verdict.FAILED, f"{url}: {problem}")
            return
        valid = f"{url}: valid until {rfc3339(seen.expires)}"
        if seen.ends_soon(self._now()):
            text = f"{valid}; it was not renewed in time; read the logs of its issuer ({CERTIFICATE_ISSUERS})"
            self._add("certificate", Verdict.WARNING, text)
        else:
            self._add("certificate", Verdict.OK, valid)
        if seen.issuer != self.expected.issuer:
            text = f"{url}: the issuer is {seen.issuer}, not {self.expected.issuer}; set --issuer to it"
            self._add("issuer", Verdict.FAILED, text)
            return
        self._add("issuer", Verdict.OK, f"{url}: {seen.issuer}, with {seen.keys} signing key{'s' * (seen.keys != 1)}")

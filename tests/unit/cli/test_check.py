"""`tallystick check`: each broken part is a line with what to do, and it stores nothing."""

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tallystick.cli.checking import command
from tallystick.cli.checking.checks import DEPLOYMENTS, Checks, Expected
from tallystick.cli.checking.command import CheckOptions, expected_of, until_passed
from tallystick.cli.checking.exchange import ExchangeProblemError, SeenExchange, trust
from tallystick.cli.checking.report import Finding, Verdict, first_failure, rendered
from tallystick.cli.settings import checked_duration, checked_urls, feature_settings
from tallystick.errors import InvalidSettingError
from tallystick.install.installation import Installation
from tallystick.install.part import InstallPart
from tallystick.objects.ports import RefusedError, UnavailableError
from tallystick.registry import KINDS
from tallystick.schema.builtin import LEASES
from tallystick.schema.meta import Resource
from tests.fakes import NOON, FakeClock, FakeCluster

HOME, URL = "ops", "https://trust.example.com"
ADVICE = "wait, or install the admission policies and their bindings again"
RESOURCES = tuple(kind.resource for kind in KINDS)


def seen_until(left: timedelta, *, lifetime: timedelta = timedelta(days=90), issuer: str = URL) -> SeenExchange:
    """An exchange whose certificate ends after this time."""
    return SeenExchange(issuer, 2, NOON + left - lifetime, NOON + left)


class World:
    """An installation in order, of which a test breaks one part."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(clock=FakeClock())
        self.missing: set[Resource] = set()
        self.in_force: bool | Exception = True
        self.seen: SeenExchange | Exception = seen_until(timedelta(days=30))
        self.cluster.served = self.served  # type: ignore[attr-defined]
        self.lease(renewTime="2030-01-01T12:00:00.000000Z")
        for name in ("tallystick-controller", "tallystick-exchange"):
            self.deployment(name)

    async def served(self, resources: Collection[Resource]) -> set[Resource]:
        return set(resources) - self.missing

    async def probe(self, _: object) -> bool:
        if isinstance(self.in_force, Exception):
            raise self.in_force
        return self.in_force

    def look(self, url: str, _: object) -> SeenExchange:
        assert url == URL
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen

    def lease(self, **spec: str) -> None:
        body = {
            "metadata": {"namespace": HOME, "name": "tallystick-controller"},
            "spec": {"holderIdentity": "pod-a", **spec},
        }
        self.cluster.put(LEASES, body)

    def deployment(self, name: str, **status: Any) -> None:
        good = {"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2}
        metadata = {"namespace": HOME, "name": name, "generation": 1}
        self.cluster.put(DEPLOYMENTS, {"metadata": metadata, "spec": {"replicas": 2}, "status": {**good, **status}})

    def checks(self, now: datetime = NOON) -> Checks:
        expected = Expected(
            installation=Installation(namespace=HOME),
            kinds=RESOURCES,
            parts=[InstallPart(probes={"the guard is in force": self.probe})],
            urls=(URL,),
            issuer=URL,
        )
        return Checks(self.cluster, expected, lambda: now, self.look)  # type: ignore[arg-type]

    async def failure(self, now: datetime = NOON) -> str:
        """The only check that fails."""
        failed = [one for one in await self.checks(now).run() if one.verdict is Verdict.FAILED]
        assert len(failed) == 1, failed
        return f"{failed[0].subject}: {failed[0].text}"


@pytest.fixture
def world() -> World:
    return World()


async def test_an_installation_in_order_passes_each_check_and_nothing_is_written(world):
    findings = await world.checks().run()

    assert first_failure(findings) is None
    assert [(one.subject, one.verdict.value) for one in findings] == [
        ("kinds", "ok"),
        ("admission", "ok"),
        ("leader", "ok"),
        ("replicas", "ok"),
        ("replicas", "ok"),
        ("certificate", "ok"),
        ("issuer", "ok"),
    ]
    assert world.cluster.writes() == []


async def test_the_text_has_a_line_for_each_check_and_the_sum(world):
    world.in_force = False

    text = rendered(await world.checks().run())

    assert text.splitlines() == [
        f"ok    kinds        the API server serves all {len(KINDS)} kinds",
        f"FAIL  admission    not so: the guard is in force; {ADVICE}",
        "ok    leader       pod-a leads",
        "ok    replicas     tallystick-controller: 2 of 2 replicas are ready",
        "ok    replicas     tallystick-exchange: 2 of 2 replicas are ready",
        f"ok    certificate  {URL}: valid until {NOON + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}",
        f"ok    issuer       {URL}: {URL}, with 2 signing keys",
        "1 of 7 checks failed.",
    ]


async def test_kinds_that_are_not_served_are_named(world):
    world.missing = {one for one in RESOURCES if one.kind in ("Device", "JoinKey")}

    assert await world.failure() == "kinds: the API server does not serve Device, JoinKey; install the CRDs"


@pytest.mark.parametrize("error", [RefusedError("pairingtokens is forbidden"), UnavailableError("it is away")])
async def test_a_probe_without_a_result_fails_with_the_words_of_the_api_server(world, error):
    world.in_force = error

    assert await world.failure() == f"admission: {error}"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"holderIdentity": ""}, "no controller leads; read the logs of tallystick-controller"),
        ({"renewTime": "2030-01-01T11:58:00.000000Z"}, "pod-a has not renewed its Lease for 120 s; read"),
    ],
)
async def test_without_a_leader(world, spec, text):
    world.cluster.remove(LEASES, HOME, "tallystick-controller")
    world.lease(**{"renewTime": f"{NOON:%Y-%m-%dT%H:%M:%S}.000000Z", **spec})
    found = [one for one in await world.checks().run() if one.subject == "leader"]

    assert (found[0].verdict, text in found[0].text) == (Verdict.FAILED, True)


async def test_an_installation_that_never_had_a_leader(world):
    world.cluster.remove(LEASES, HOME, "tallystick-controller")

    assert "leader: no controller has led in namespace ops yet" in await world.failure()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"readyReplicas": 1}, "tallystick-exchange: 1 of 2 replicas are ready; read `reason` at /readyz"),
        ({"readyReplicas": 0, "updatedReplicas": 0}, "0 of 2 replicas are ready, and 0 have the present settings"),
        # As a changed issuer leaves it: the old replicas serve, and the new one is not ready.
        ({"updatedReplicas": 1}, "2 of 2 replicas are ready, and 1 have the present settings"),
        ({"observedGeneration": 0}, "2 of 2 replicas are ready"),
    ],
)
async def test_replicas_that_are_not_ready_or_not_of_the_present_settings(world, status, text):
    world.cluster.remove(DEPLOYMENTS, HOME, "tallystick-exchange")
    world.deployment("tallystick-exchange", **status)

    assert text in await world.failure()


async def test_processes_without_a_deployment_are_skipped(world):
    world.cluster.remove(DEPLOYMENTS, HOME, "tallystick-exchange")

    findings = await world.checks().run()

    assert Finding("replicas", Verdict.SKIPPED, "there is no Deployment ops/tallystick-exchange") in findings
    assert rendered(findings).endswith("All 6 checks passed.")


async def test_an_exchange_that_cannot_be_used(world):
    world.seen = ExchangeProblemError("its certificate is not trusted (self-signed); set --ca-file")

    assert await world.failure() == f"exchange: {URL}: its certificate is not trusted (self-signed); set --ca-file"


async def test_another_issuer(world):
    world.seen = seen_until(timedelta(days=30), issuer="https://other.example")

    assert f"issuer: {URL}: the issuer is https://other.example, not {URL}; set --issuer" in await world.failure()


async def test_it_waits_until_all_checks_pass_and_shows_each_new_failure_once(monkeypatch):
    monkeypatch.setattr(command, "PAUSE_SECONDS", 0.0)
    broken, fine = (
        Finding("leader", Verdict.FAILED, "no controller leads"),
        Finding("leader", Verdict.OK, "pod-a leads"),
    )
    results, shown = [[broken], [broken], [fine]], []

    async def run() -> list[Finding]:
        return results.pop(0)

    assert await until_passed(run, 60.0, shown.append) == [fine]
    assert shown == ["waiting: leader: no controller leads"]


async def test_without_a_wait_it_checks_once():
    checks = []

    async def run() -> list[Finding]:
        checks.append(1)
        return [Finding("leader", Verdict.FAILED, "no controller leads")]

    findings = await until_passed(run, 0.0, lambda _: None)

    assert (len(checks), first_failure(findings)) == (1, findings[0])


def test_the_defaults_are_those_of_a_helm_release() -> None:
    options = CheckOptions(
        namespace="ops",
        release="site",
        public_urls=(),
        issuer="",
        ca_file=None,
        wait=timedelta(0),
        settings=feature_settings(),
        kubeconfig=None,
        context=None,
    )

    expected = expected_of(options)

    assert (expected.urls, expected.issuer) == (("https://site-exchange.ops.svc",), "https://site-exchange.ops.svc")
    assert {what for part in expected.parts for what in part.probes} >= {"a forged requester is rejected"}


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (checked_duration, "soon", "--wait: 'soon' is not a duration"),
        (checked_urls, "http://x", "--wait: http://x must be an https URL"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named(read, text, message) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        read("--wait", text)


@pytest.mark.parametrize("content", [None, "", "no PEM"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)

    with pytest.raises(InvalidSettingError, match=r"--ca-file .* cannot be used"):
        trust(file)


@pytest.mark.parametrize(
    ("lifetime", "left", "verdict"),
    [
        (timedelta(days=90), timedelta(days=7), Verdict.OK),
        (timedelta(days=90), timedelta(days=6, hours=23), Verdict.WARNING),
        (timedelta(days=90), timedelta(seconds=1), Verdict.WARNING),
        # A short-lived certificate is renewed hours before its end.
        (timedelta(days=1), timedelta(hours=4), Verdict.OK),
        (timedelta(days=1), timedelta(hours=3, minutes=59), Verdict.WARNING),
    ],
)
async def test_a_certificate_that_was_not_renewed_in_time_is_a_warning(world, lifetime, left, verdict):
    world.seen = seen_until(left, lifetime=lifetime)

    findings = await world.checks().run()

    (found,) = (one for one in findings if one.subject == "certificate")
    assert found.verdict is verdict
    assert ("read the logs of its issuer" in found.text) == (verdict is Verdict.WARNING)
    assert first_failure(findings) is None
    ends = {Verdict.OK: "All 7 checks passed.", Verdict.WARNING: "All 7 checks passed, 1 with a warning."}
    assert rendered(findings).endswith(ends[verdict])

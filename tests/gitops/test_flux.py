"""Kinds, operator and tokens by a real kustomize-controller. Helm renders the part of helm-controller.

The tests of this file follow each other on one cluster.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from tests.chart.live.releases import Running
from tests.gitops.commands import FLUX
from tests.gitops.flux import CRDS, OPERATOR, TOKENS, Flux, running_flux
from tests.gitops.programs import flux_programs
from tests.gitops.world import ALL_TOKENS, EDGE, HOME, PARTS, add_a_bad_token, fresh_world, remove_tokens
from tests.harness.objects import condition
from tests.harness.processes import poll

Json = dict[str, Any]

# The first one compiles Flux.
pytestmark = [pytest.mark.gitops, pytest.mark.timeout(3600)]

RECONCILIATIONS = 50
PARTS_OF_ALL = (CRDS, OPERATOR, TOKENS)


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flux, Running]]:
    """Flux after the first apply of everything, and the pods of the operator."""
    folder = tmp_path_factory.mktemp("flux")
    with ExitStack() as stack:
        programs = flux_programs()
        world = stack.enter_context(fresh_world(folder))
        flux = stack.enter_context(running_flux(world, programs))
        render_operator(flux)
        world.run_commands(FLUX)
        flux.retry_soon(*PARTS_OF_ALL)
        flux.publish()
        flux.wait_until(CRDS, "True")
        must_wait(flux, TOKENS, OPERATOR)
        running = stack.enter_context(world.pods())
        # The pods are ready, and nobody has said so yet.
        must_wait(flux, TOKENS, OPERATOR)
        assert not world.read("namespace", EDGE, EDGE)
        world.report_ready()
        for name in PARTS_OF_ALL:
            flux.wait_until(name, "True", seconds=600.0)
        yield flux, running


def render_operator(flux: Flux) -> None:
    """Put what helm-controller would apply into the place of the HelmRelease, beside its namespace."""
    folder = flux.repository / PARTS[-1] / "flux" / "operator"
    release = yaml.safe_load((folder / "release.yaml").read_text())
    text = flux.world.release.helm.template(release["spec"]["values"], namespace=HOME, flags=["--skip-tests"])
    (folder / "release.yaml").write_text(text)


def must_wait(flux: Flux, name: str, other: str) -> None:
    """Assert that a Kustomization waits for another one."""
    poll(lambda: f"dependency 'flux-system/{other}' is not ready" in flux.condition(name).get("message", ""))


def test_the_parts_wait_for_each_other_and_become_ready(at_work: tuple[Flux, Running]) -> None:
    flux, running = at_work
    found = json.loads(flux.world.kubectl("get", "tally", "--namespace", EDGE, "--output", "json"))["items"]

    assert {body["metadata"]["name"] for body in found} == {"site-a", "cams", "dc-west", "default", "jpd-1"}
    assert {"site-a", "cams", "dc-west"} <= set(running.issued)
    (site,) = (body for body in found if body["metadata"]["name"] == "site-a")
    assert site["spec"]["requestedBy"] == "system:serviceaccount:flux-system:kustomize-controller"


def test_50_reconciliations_write_and_issue_nothing(at_work: tuple[Flux, Running]) -> None:
    flux, running = at_work
    flux.reconcile(*PARTS_OF_ALL)
    tokens, versions, issued, mark = flux.world.tokens(), flux.world.settled(), running.issued, flux.mark()
    before = {name: flux.ended(name) for name in PARTS_OF_ALL}

    for _ in range(RECONCILIATIONS):
        flux.reconcile(*PARTS_OF_ALL)

    assert all(flux.ended(name) >= before[name] + RECONCILIATIONS for name in PARTS_OF_ALL)
    assert {name: flux.condition(name)["status"] for name in PARTS_OF_ALL} == dict.fromkeys(PARTS_OF_ALL, "True")
    assert flux.writes(mark, HOME, EDGE) == []
    assert flux.world.tokens() == tokens
    assert flux.world.settled() == versions
    assert running.issued == issued


def test_drift_is_corrected_and_nothing_else_is_touched(at_work: tuple[Flux, Running]) -> None:
    flux, running = at_work
    issued = running.issued

    with flux.world.drift():
        flux.reconcile(TOKENS)

    assert running.issued == issued


def test_a_token_that_cannot_be_issued_fails_the_part_at_once(at_work: tuple[Flux, Running]) -> None:
    flux, _ = at_work
    add_a_bad_token(flux.repository)

    flux.publish()
    flux.reconcile(TOKENS)

    # The timeout is 5 minutes. A Stalled object does not wait for it.
    message = flux.wait_until(TOKENS, "False", seconds=120.0)
    assert "PairingToken/edge/site-b status: 'Failed'" in message
    # Flux names the object alone. The README says where the reason is.
    stalled = condition(flux.world.read("pairingtoken", "site-b", EDGE), "Stalled")
    assert stalled["status"] == "True"
    assert "no-such-use-case" in stalled["message"]
    remove_tokens(flux.repository, "bad.yaml")
    flux.publish()
    flux.reconcile(TOKENS)
    flux.wait_until(TOKENS, "True")


def test_prune_deletes_tokens_and_keys(at_work: tuple[Flux, Running]) -> None:
    flux, _ = at_work
    remove_tokens(flux.repository, *ALL_TOKENS)

    flux.publish()
    flux.reconcile(TOKENS)

    # A MasterKey is not deleted before its JoinKey is; then Flux tries again.
    flux.world.must_be_pruned()
    poll(lambda: not secrets(flux), seconds=120.0)
    flux.wait_until(TOKENS, "True")
    assert flux.world.read("crd", "pairingtokens.tallystick.dev", "")


def secrets(flux: Flux) -> list[str]:
    """The Secrets of tokens that are left. The key of a generated master key stays."""
    found = json.loads(flux.world.kubectl("get", "secrets", "--namespace", EDGE, "--output", "json"))["items"]
    return [body["metadata"]["name"] for body in found if body["type"] != "tallystick.dev/master-key"]

"""Pairing tokens over HTTP for users of an OpenID Connect provider, who are no ServiceAccounts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tallystick.cli.settings import feature_settings
from tallystick.install.installation import EXCHANGE, Installation
from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports
from tallystick.pairing.domain.requester_mode import RequesterMode
from tests.harness.api import Api
from tests.harness.exchange import HttpAnswer
from tests.harness.grants import grant
from tests.harness.installed import new_namespace
from tests.harness.objects import value_of
from tests.harness.own_system import OwnSystem
from tests.harness.pairing_site import claims_of
from tests.harness.processes import poll
from tests.harness.system import running
from tests.live.bootstrap.identities import SCOPES, Provider
from tests.live.bootstrap.started import ROLES, request_pairing

Json = dict[str, Any]

USER, GROUP, OTHER_AUDIENCE = "ann@example.com", "press-team", "https://another.example.com"
BOTH = tuple(ROLES)
CELLS = [(), BOTH[:1], BOTH[1:], BOTH]
in_policy_mode = pytest.mark.parametrize("users", [RequesterMode.POLICY], ids=["Policy"], indirect=True)
in_account_mode = pytest.mark.parametrize(
    "users", [RequesterMode.SERVICE_ACCOUNT], ids=["ServiceAccount"], indirect=True
)
each_cell = pytest.mark.parametrize("rights", CELLS, ids=lambda rights: "+".join(rights) or "-")


@dataclass(frozen=True)
class Users:
    """A system, and the provider of the users who request tokens of it."""

    system: OwnSystem
    provider: Provider

    @property
    def admin(self) -> Api:
        return self.system.admin

    def bearer(self, **claims: tuple[str, ...]) -> str:
        """Return a token of the user, for the exchange."""
        return self.provider.token(USER, self.system.exchange.issuer, **claims)

    def ask(self, bearer: str, **body: str) -> HttpAnswer:
        """Request a pairing token."""
        return request_pairing(self.system.exchange, bearer, json.dumps(body).encode())

    def reviewed(self, bearer: str) -> Json:
        """Ask the API server about a token, as the exchange does; return the status."""
        return review(self.admin, bearer, self.system.exchange.issuer)


def review(admin: Api, bearer: str, audience: str) -> Json:
    """Review a token for one audience."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}}
    status: Json = admin.create({**body, "spec": {"token": bearer, "audiences": [audience]}}).must_succeed()["status"]
    return status


@pytest.fixture(scope="module")
def address() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider.run(tmp_path_factory.mktemp("provider")) as made:
        yield made


@pytest.fixture(scope="module")
def own_plane(address: str, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    issuer = f"https://{address}"
    with provider.plane(tmp_path_factory.mktemp("api-server"), issuer, OTHER_AUDIENCE) as plane:
        with Api.connect(plane.kubeconfig, plane.binaries.kubectl) as admin:
            # The API server fetches the keys of a provider after it is ready.
            poll(lambda: review(admin, provider.token(USER, issuer), issuer).get("authenticated"))
        yield plane


@pytest.fixture(scope="module")
def users(
    request: pytest.FixtureRequest,
    address: str,
    provider: Provider,
    own_plane: ControlPlane,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Users]:
    mode: RequesterMode = request.param
    folder, settings = tmp_path_factory.mktemp("users") / "up", feature_settings(requester=mode)
    with OwnSystem.of(running(own_plane, folder, listen=address, settings=settings)) as system:
        yield Users(system, provider)


@in_policy_mode
@each_cell
def test_s5_in_policy_mode_a_user_needs_both_rights(users: Users, rights: tuple[str, ...]) -> None:
    namespace = new_namespace(users.admin, "user")
    for right in rights:
        grant(users.admin, namespace, USER, ROLES[right])

    answer = users.ask(users.bearer(), namespace=namespace)

    made = users.admin.find_all("PairingToken", namespace)
    if rights != BOTH:
        missing = "cannot use usecases/mission-control" if "create" in rights else "cannot create pairingtokens"
        assert (answer.status, made) == (403, [])
        assert f"{USER} {missing} in namespace {namespace}" in answer.description
        return
    issued = answer.must_succeed()
    assert [one["spec"]["requestedBy"] for one in made] == [USER]
    assert "serviceAccountName" not in made[0]["spec"]
    assert (issued["namespace"], issued["name"]) == (namespace, made[0]["metadata"]["name"])
    assert claims_of(issued["pairing_token"])["sub"] == USER
    metadata = {"name": f"{issued['name']}-pairing-token", "namespace": namespace}
    assert value_of(users.admin.get({"kind": "Secret", "metadata": metadata}), "token") == issued["pairing_token"]
    assert users.system.exchange.redeem(issued["pairing_token"]).status == 200


@in_account_mode
@each_cell
def test_in_service_account_mode_no_user_is_served(users: Users, rights: tuple[str, ...]) -> None:
    namespace = new_namespace(users.admin, "no-user")
    for right in rights:
        grant(users.admin, namespace, USER, ROLES[right])

    answer = users.ask(users.bearer(), namespace=namespace)

    assert (answer.status, users.admin.find_all("PairingToken", namespace)) == (403, [])
    assert "the operator runs with --requester ServiceAccount: only a ServiceAccount of" in answer.description


@in_policy_mode
def test_a_user_has_no_namespace_by_default(users: Users) -> None:
    answer = users.ask(users.bearer())

    assert answer.status == 400
    assert "namespace is missing; only a ServiceAccount has a default" in answer.description


@in_policy_mode
def test_s4_the_rights_of_a_group_count_for_its_members_only(users: Users) -> None:
    namespace = new_namespace(users.admin, "group")
    for right in BOTH:
        grant(users.admin, namespace, GROUP, ROLES[right], kind="Group")

    outsider = users.ask(users.bearer(groups=("other-team",)), namespace=namespace)
    member = users.ask(users.bearer(groups=("other-team", GROUP)), namespace=namespace)

    made = users.admin.find_all("PairingToken", namespace)
    assert (outsider.status, member.status) == (403, 200)
    assert [one["spec"]["requestedBy"] for one in made] == [USER]


@in_policy_mode
def test_s4_groups_and_further_attributes_of_a_user_are_passed_on(users: Users) -> None:
    namespace = new_namespace(users.admin, "attributes")

    users.ask(users.bearer(groups=(GROUP,), scopes=("user:info", "user:full")), namespace=namespace)

    asked = poll(lambda: access_reviews(users.system.plane, namespace))
    assert {review["resourceAttributes"]["verb"] for review in asked} == {"create", "use"}
    for spec in asked:
        assert (spec["user"], spec["extra"][SCOPES]) == (USER, ["user:info", "user:full"])
        assert set(spec["groups"]) == {GROUP, "system:authenticated"}


@in_policy_mode
def test_s16_a_token_for_another_audience_of_the_provider_is_rejected(users: Users) -> None:
    """The API server reports its own audience for each user of a provider, whatever the token names."""
    namespace = new_namespace(users.admin, "audience")
    for right in BOTH:
        grant(users.admin, namespace, USER, ROLES[right])
    bearer = users.provider.token(USER, OTHER_AUDIENCE)

    status, answer = users.reviewed(bearer), users.ask(bearer, namespace=namespace)

    assert (status["authenticated"], status["audiences"]) == (True, [users.system.exchange.issuer])
    assert (answer.status, users.admin.find_all("PairingToken", namespace)) == (401, [])


def access_reviews(plane: ControlPlane, namespace: str) -> list[Json]:
    """Return what the exchange asked about a namespace, once the log has both questions; until then []."""
    exchange = Installation().service_account(EXCHANGE)
    lines = [
        json.loads(line) for line in plane.audit_log.read_text("utf-8").splitlines(keepends=True) if line[-1:] == "\n"
    ]
    specs = [
        line["requestObject"]["spec"]
        for line in lines
        if line["user"]["username"] == exchange and "requestObject" in line
    ]
    found = [spec for spec in specs if spec["resourceAttributes"]["namespace"] == namespace]
    return found if len(found) == 2 else []

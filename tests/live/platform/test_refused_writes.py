"""What the API server refuses to store for an object is said on the object, and comes right once the cause is gone.

Each cause is somebody else's, and each has a namespace of its own, so that all are tried at once.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.objects.ports import NamespaceTerminatingError, RefusedError
from tallystick.schema.builtin import SECRETS
from tests.harness.api import Api
from tests.harness.connections import a_connection
from tests.harness.objects import a_pairing_token, condition, secret_of
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]
MakeNamespace = Callable[[str], str]

POLICIES = "admissionregistration.k8s.io/v1"
POLICY_ADVICE = "change this policy or webhook so that it permits the ServiceAccounts of the operator"
TRIED_AGAIN = "The controller tries again within a minute."


def quota(namespace: str, counted: str) -> list[Json]:
    """Forbid any object of a kind, as a ResourceQuota of `count/...`."""
    metadata = {"name": "none", "namespace": namespace}
    return [{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {counted: "0"}}}]


def policy(namespace: str, rule: Json, *, reason: str = "Forbidden", message: str = "not in this house") -> list[Json]:
    """Deny some writes of our accounts in a namespace, for one of the reasons that Kubernetes knows."""
    ours = [Installation().service_account(account) for account in (CONTROLLER, EXCHANGE)]
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [{"apiVersions": ["*"], **rule}]},
        "validations": [
            {"expression": f"!(request.userInfo.username in {ours})", "message": message, "reason": reason}
        ],
    }
    return [
        {"apiVersion": POLICIES, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": namespace}, "spec": spec},
        {
            "apiVersion": POLICIES,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": {"policyName": namespace, "validationActions": ["Deny"], "matchResources": only(namespace)},
        },
    ]


def webhook(namespace: str) -> list[Json]:
    """Ask a webhook about Secrets that nobody serves."""
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}
    hook = {
        "name": "away.tallystick.example",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        **only(namespace),
    }
    kind = "ValidatingWebhookConfiguration"
    return [{"apiVersion": POLICIES, "kind": kind, "metadata": {"name": namespace}, "webhooks": [hook]}]


def only(namespace: str) -> Json:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


SECRETS_RULE = {"apiGroups": [""], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}
STATUS_RULE = {"apiGroups": ["tallystick.dev"], "operations": ["UPDATE"], "resources": ["*/status"]}


@dataclass(frozen=True, slots=True)
class Case:
    """One way to refuse, the words of the API server for it, and the advice that they get."""

    cause: Callable[[str], list[Json]]
    words: str
    advice: str


def _denied(reason: str) -> Case:
    cause = partial(policy, rule=SECRETS_RULE, reason=reason, message=f"not in this house {'x' * 700}")
    return Case(cause, "denied request: not in this house xxxxxx", POLICY_ADVICE)


SECRET_CASES = {
    "quota": Case(
        partial(quota, counted="count/secrets"), "exceeded quota: none", "raise the quota, or delete objects that it"
    ),
    **{f"policy-{reason.lower()}": _denied(reason) for reason in ("Forbidden", "Invalid")},
    "policy-too-large": _denied("RequestEntityTooLarge"),
    "webhook": Case(webhook, "failed calling webhook", POLICY_ADVICE),
}
CASES = {**SECRET_CASES, "status": Case(partial(policy, rule=STATUS_RULE), "not in this house", POLICY_ADVICE)}


@dataclass(frozen=True, slots=True)
class Refused:
    """The namespaces in which our objects exist and something refuses their Secrets, by the name of the cause."""

    api: Api
    namespaces: dict[str, str]
    causes: dict[str, list[Json]]

    def objects(self, case: str) -> list[Json]:
        namespace = self.namespaces[case]
        return [a_pairing_token(namespace, ttl="24h"), a_connection(namespace)]

    def remove_the_causes(self) -> None:
        delete(self.api, [part for cause in self.causes.values() for part in cause])


def apply(api: Api, bodies: list[Json]) -> None:
    api.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))


def delete(api: Api, bodies: list[Json]) -> None:
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies})
    api.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=listed)


def secrets_refused(api: Api, installed: Installation, namespace: str) -> str:
    """Return the words with which the API server refuses a Secret of the controller now; '' if it does not."""
    controller = api.as_user(installed.service_account(CONTROLLER))
    answer = controller.create(secret_of(a_pairing_token(namespace, "probe")), dry_run=True)
    return "" if answer.succeeded else answer.message


@pytest.fixture(scope="module")
def refused(admin: Api, installed: Installation, system: System, make_namespace: MakeNamespace) -> Iterator[Refused]:
    """Put every cause in force, and then apply a PairingToken and a ConnectionConfiguration beside each."""
    namespaces = {case: make_namespace(case) for case in CASES}
    causes = {case: CASES[case].cause(namespaces[case]) for case in CASES}
    refused = Refused(admin, namespaces, causes)
    try:
        apply(admin, [part for cause in causes.values() for part in cause])
        for case in SECRET_CASES:
            poll(lambda case=case: SECRET_CASES[case].words[:20] in secrets_refused(admin, installed, namespaces[case]))
        probe = a_pairing_token(namespaces["status"], "probe")
        admin.create(probe).must_succeed()
        poll(lambda: status_refused(admin, installed, probe))
        apply(admin, [body for case in CASES for body in refused.objects(case)])
        yield refused
    finally:
        refused.remove_the_causes()


def status_refused(api: Api, installed: Installation, probe: Json) -> bool:
    controller = api.as_user(installed.service_account(CONTROLLER))
    return "not in this house" in controller.replace(probe | {"status": {}}, subresource="status").message


def events(api: Api, namespace: str, reason: str = "WriteRejected") -> list[Json]:
    return [event for event in api.find_all("Event", namespace) if event["reason"] == reason]


@pytest.mark.parametrize("case", SECRET_CASES)
def test_an_object_whose_secret_is_refused_says_so_in_the_words_of_the_api_server(
    admin: Api, refused: Refused, case: str
) -> None:
    expected = SECRET_CASES[case]
    for body in refused.objects(case):
        found = poll(lambda body=body: rejected(admin, body))
        ready, reconciling = condition(found, "Ready"), condition(found, "Reconciling")

        assert (ready["status"], reconciling["status"], condition(found, "Stalled")) == ("False", "True", {})
        assert ready["message"] == reconciling["message"]
        assert expected.words in ready["message"]
        assert expected.advice in ready["message"]
        assert ready["message"].endswith(TRIED_AGAIN)
        assert ready["message"].isprintable()
        assert found["status"]["observedGeneration"] == 1
    namespace = refused.namespaces[case]
    told = poll(lambda: len(found) == 2 and found if (found := events(admin, namespace)) else None)
    assert {event["involvedObject"]["kind"] for event in told} == {"PairingToken", "ConnectionConfiguration"}


def rejected(api: Api, body: Json) -> Json | None:
    found = api.get(body)
    return found if condition(found, "Ready").get("reason") == "WriteRejected" else None


def test_an_object_whose_status_is_refused_has_an_event_that_says_so(admin: Api, refused: Refused) -> None:
    body = refused.objects("status")[0]

    told = poll(lambda: [one for one in events(admin, refused.namespaces["status"]) if is_about(one, body)])

    assert "not in this house" in told[0]["message"]
    assert admin.get(body)["status"] == {"observedGeneration": -1}


def is_about(event: Json, body: Json) -> bool:
    return bool(event["involvedObject"]["kind"] == body["kind"] and event["involvedObject"]["name"] == "site-a")


def test_every_object_comes_right_once_the_cause_is_gone_and_was_reported_once(admin: Api, refused: Refused) -> None:
    for case in SECRET_CASES:
        for body in refused.objects(case):
            poll(lambda body=body: rejected(admin, body))

    refused.remove_the_causes()

    for case in CASES:
        where = ("-n", refused.namespaces[case], "pairingtoken/site-a", "connectionconfiguration/dc-west")
        admin.kubectl("wait", *where, "--for=condition=Ready", "--timeout=70s")
        told = events(admin, refused.namespaces[case])
        about = [(event["involvedObject"]["kind"], event["involvedObject"]["name"]) for event in told]
        assert len(about) == len(set(about)), (case, [event["message"] for event in told])


# RBAC.


def test_a_permission_that_was_taken_away_is_named_and_its_return_is_noticed(
    admin: Api, installed: Installation, system: System, make_namespace: MakeNamespace
) -> None:
    namespace = make_namespace("rbac")
    name = installed.cluster_name(CONTROLLER)
    role = admin.get({"kind": "ClusterRole", "metadata": {"name": name}})
    less = [
        {**rule, "verbs": [v for v in rule["verbs"] if v != "create"]} if rule["resources"] == ["secrets"] else rule
        for rule in role["rules"]
    ]
    body = a_pairing_token(namespace)
    admin.merge(role, {"rules": less}).must_succeed()
    try:
        poll(lambda: "cannot create" in secrets_refused(admin, installed, namespace))
        admin.create(body).must_succeed()
        message = condition(poll(lambda: rejected(admin, body)), "Ready")["message"]
    finally:
        admin.merge(role, {"rules": role["rules"]}).must_succeed()

    assert f'User "{installed.service_account(CONTROLLER)}" cannot create resource "secrets"' in message
    assert "grant the permission again: apply the output of tallystick manifests" in message
    admin.kubectl("wait", "-n", namespace, "pairingtoken/site-a", "--for=condition=Ready", "--timeout=70s")
    assert len(events(admin, namespace)) == 1


# A namespace that is going.


def test_a_namespace_that_is_being_deleted_is_another_error_than_any_other_refusal(
    admin: Api, system: System, make_namespace: MakeNamespace
) -> None:
    namespace = make_namespace("going")
    held = {"kind": "ConfigMap", "metadata": {"name": "held", "namespace": namespace, "finalizers": ["example.com/x"]}}
    admin.create({"apiVersion": "v1", **held}).must_succeed()
    admin.delete({"kind": "Namespace", "metadata": {"name": namespace}}).must_succeed()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": namespace}}

    async def create() -> RefusedError | None:
        async with KubeCluster(Connection(kubeconfig=system.plane.kubeconfig), field_manager="test") as cluster:
            try:
                await cluster.create(SECRETS, secret, dry_run=True)
            except RefusedError as error:
                return error
        return None

    error = asyncio.run(create())
    admin.merge(held, {"metadata": {"finalizers": None}}).must_succeed()

    assert isinstance(error, NamespaceTerminatingError)


# Redemption.


def test_a_redemption_whose_record_would_be_refused_consumes_nothing_and_succeeds_later(
    admin: Api, installed: Installation, site: Site
) -> None:
    namespace, cause = site.namespace, quota(site.namespace, "count/mastertokens.tallystick.dev")
    token = site.issue(ttl="1h")
    apply(admin, cause)
    poll(lambda: admin.kubectl("get", "quota", "-n", namespace, "-o", "jsonpath={.items[*].status.hard}"))

    answers = [site.exchange.redeem(token) for _ in range(3)]
    state = site.state_of()
    told = poll(lambda: events(admin, namespace, "MasterTokenRejected"))
    delete(admin, cause)
    redeemed = poll(lambda: answer if (answer := site.exchange.redeem(token)).status != 503 else None)

    assert {(answer.status, answer.body["error"]) for answer in answers} == {(503, "temporarily_unavailable")}
    assert {answer.headers["Retry-After"] for answer in answers} == {"5"}
    assert {answer.description for answer in answers} == {
        "the pairing token was not redeemed, because the service cannot record it now; try again later"
    }
    assert (state, len(told)) == (("Active", 1), 1)
    assert "quota: none" in told[0]["message"]
    assert redeemed.status == 200
    assert site.state_of() == ("Used", 1)

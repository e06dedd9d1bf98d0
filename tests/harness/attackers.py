"""Ordinary users who attack: who they are, how they write, which answers they get, and what the world is afterwards.

An attack is a row of a table: what somebody makes of an object that lives, and the words that refuse it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tests.harness.api import Answer, Api
from tests.harness.exchange import Exchange
from tests.harness.grants import RBAC, grant
from tests.harness.objects import secret_of, wait_for_state, wait_until_gone
from tests.harness.pairing_site import Site, make_site
from tests.harness.processes import poll
from tests.harness.system import System
from tests.harness.writers import merge_patch

Json = dict[str, Any]

STAR = "attackers-star"
EDITOR_ROLES = ("edit", "tallystick-edit", "tallystick-usecase-mission-control")
# All that an attack could leave behind in a namespace.
KINDS = ("PairingToken", "MasterToken", "Secret", "Event", "Role", "RoleBinding")


@dataclass(frozen=True, slots=True)
class Cast:
    """Who acts around the namespace of `site`.

    Attributes:
        site: the namespace that is attacked, with a verifier in it; its `api` is the administrator's.
        elsewhere: another namespace, that of `tenant`.
        ann: edits pairing tokens for mission-control, and all that the role `edit` of Kubernetes allows.
        bob: her colleague, with the same rights.
        star: holds a role on `tallystick.dev/*` with the verb `*`.
        boss: administers the namespace: the role `admin` of Kubernetes.
        tenant: has all that ann and star have, in the other namespace.
        reader: the role `view`.
    """

    site: Site
    elsewhere: Site
    ann: Api
    bob: Api
    star: Api
    boss: Api
    tenant: Api
    reader: Api

    def actor(self, name: str) -> Api:
        found: Api = getattr(self, name)
        return found


@contextmanager
def make_cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    """Make two namespaces and give everybody the rights that they have as a rule."""
    up = system.up
    everything = [{"apiGroups": ["tallystick.dev"], "resources": ["*"], "verbs": ["*"]}]
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": STAR}, "rules": everything}
    admin.apply(role).must_succeed()
    with Exchange.connect(up.url, issuer=up.url, ca_file=up.ca_file, clock=system.clock) as client:
        site = make_site(admin, make_namespace("attacked"), client)
        elsewhere = make_site(admin, make_namespace("tenant"), client)
        granted = {
            "ann": EDITOR_ROLES,
            "bob": EDITOR_ROLES,
            "star": (STAR,),
            "boss": ("admin",),
            "reader": ("view",),
        }
        for user, roles in granted.items():
            for name in roles:
                grant(admin, site.namespace, user, name)
        for name in (*EDITOR_ROLES, STAR):
            grant(admin, elsewhere.namespace, "tenant", name)
        users = {user: admin.as_user(user, "system:authenticated") for user in (*granted, "tenant")}
        yield Cast(site, elsewhere, **users)


# What is attacked.


@dataclass(frozen=True, slots=True)
class Victims:
    """Three pairing tokens at rest, and the masters of the last two: `active`, `used` and `revoked` by their names."""

    pairing: str = field(repr=False)
    used_master: str = field(repr=False)
    revoked_master: str = field(repr=False)
    objects: dict[str, Json]


def make_victims(cast: Cast) -> Victims:
    """Issue three pairing tokens as ann, redeem two, revoke one, and return when everybody has done with them."""
    site, ann = cast.site, cast.ann
    tokens: dict[str, str] = {}
    for name in ("active", "used", "revoked"):
        ann.create(site.pairing_token(name)).must_succeed()
        tokens[name] = site.issued(name)
    used, revoked = (site.exchange.redeem(tokens[name]).must_succeed() for name in ("used", "revoked"))
    ann.merge(site.pairing_token("revoked"), {"spec": {"revoked": True}}).must_succeed()
    wait_for_state(site.api, site.pairing_token("revoked"), "Revoked")
    masters = {
        "used master": site.master_token(used["token_id"]),
        "revoked master": site.master_token(revoked["token_id"]),
    }
    wait_for_state(site.api, masters["used master"], "Active")
    wait_for_state(site.api, masters["revoked master"], "Revoked")
    for name in ("used", "revoked"):
        wait_until_gone(site.api, secret_of(site.pairing_token(name)))
    # Each revocation is told in an event, after the status is written.
    poll(lambda: len(site.events("Revoked")) == 2)
    live = {name: site.api.get(site.pairing_token(name)) for name in tokens}
    live |= {name: site.api.get(body) for name, body in masters.items()}
    return Victims(tokens["active"], used["access_token"], revoked["access_token"], live)


def alive(cast: Cast, victims: Victims) -> tuple[bool, bool, bool]:
    """Whether the exchange takes the active pairing token, the master of the used one, and that of the revoked one."""
    tokens = (victims.pairing, victims.used_master, victims.revoked_master)
    pairing, used, revoked = (cast.site.is_active(token) for token in tokens)
    return pairing, used, revoked


UNTOUCHED = (True, True, False)


def live(cast: Cast, victims: Victims, name: str) -> Json:
    """Read a victim anew: where fields change hands between two appliers, it gets another version."""
    return cast.site.api.get(victims.objects[name])


def wait_until_inactive(site: Site, *tokens: str) -> None:
    """Return once the exchange takes none of them any more; what it reads may be a second old (S7)."""
    poll(lambda: not any(site.is_active(token) for token in tokens), seconds=2.0)


def world(site: Site) -> dict[str, str]:
    """Return the version of all that is stored in a namespace: where two are equal, nothing was written between."""
    return {
        f"{kind}/{found['metadata']['name']}": found["metadata"]["uid"] + found["metadata"]["resourceVersion"]
        for kind in KINDS
        for found in site.api.find_all(kind, site.namespace)
    }


# How they write.

Write = Callable[[Api, Json, Json, str], Answer]


class Way(NamedTuple):
    """One way to edit: the verb that RBAC asks for, and how a live object is made to say something else."""

    name: str
    verb: str
    write: Write


def bare(live: Json) -> Json:
    """Give an object as somebody would write it who has copied it: without what the API server keeps of it."""
    meta = {key: live["metadata"][key] for key in ("name", "namespace")}
    return {key: live[key] for key in ("apiVersion", "kind", "spec", "status") if key in live} | {"metadata": meta}


def operations(before: Json, after: Json) -> list[Json]:
    """Give the JSON patch (RFC 6902) that turns one spec and status into another."""
    found: list[Json] = []
    for part in ("spec", "status"):
        old, new = before.get(part, {}), after.get(part, {})
        found += [{"op": "remove", "path": f"/{part}/{key}"} for key in old if key not in new]
        changed = {key: value for key, value in new.items() if old.get(key) != value}
        found += [{"op": "add", "path": f"/{part}/{key}", "value": value} for key, value in changed.items()]
    return found


def _merge(api: Api, live: Json, after: Json, subresource: str) -> Answer:
    return api.merge(live, merge_patch(bare(live), after), subresource=subresource)


def _patch(api: Api, live: Json, after: Json, subresource: str) -> Answer:
    return api.patch(live, operations(live, after), subresource=subresource)


def _replace(api: Api, live: Json, after: Json, subresource: str) -> Answer:
    return api.update(after | {"metadata": live["metadata"]}, subresource=subresource)


def _apply(api: Api, _: Json, after: Json, subresource: str) -> Answer:
    return api.apply(after, subresource=subresource)


def _kubectl_apply(api: Api, _: Json, after: Json, __: str) -> Answer:
    return api.kubectl_apply({key: value for key, value in after.items() if key != "status"})


MERGE, PATCH = Way("merge patch", "patch", _merge), Way("JSON patch", "patch", _patch)
REPLACE, APPLY = Way("replace", "update", _replace), Way("server-side apply by force", "patch", _apply)
KUBECTL_APPLY = Way("kubectl apply", "patch", _kubectl_apply)
WAYS = (MERGE, PATCH, REPLACE, APPLY)


Row = TypeVar("Row", bound=tuple[Any, ...])


def tried(table: dict[str, Row], *, with_a_right: bool) -> dict[str, Row]:
    """Choose the attacks of a table whose rows begin with the victim: all, or one on each victim.

    Whoever has no right is refused by RBAC before anybody reads what they wrote.
    """
    first_on = {row[0]: attack for attack, row in reversed(table.items())}
    return {attack: row for attack, row in table.items() if with_a_right or first_on[row[0]] == attack}


# What they are told.

_KUBECTL = re.compile(r'^(?:Warning: [^\n]*\n)?(?:Error from server \(\w+\): (?:.*STDIN": )?)?', re.DOTALL)
_SUBJECT = re.compile(r'^(?:The )?[A-Za-z]\S*(?: "[^"]*")? is (?:forbidden|invalid): (?:<nil>: Invalid value: )?')
_POLICY = re.compile(r"^ValidatingAdmissionPolicy '[^']*' with binding '[^']*' denied request: ")


def said(answer: Answer) -> str:
    """Return the words of a refusal, without what the server and kubectl put before them; '' for none."""
    text = answer.message.rstrip("\n")
    for prefix in (_KUBECTL, _SUBJECT, _POLICY):
        text = prefix.sub("", text)
    return text


def cannot(user: str, verb: str, resource: str, namespace: str = "", *, group: str = "tallystick.dev") -> str:
    """Say what RBAC says to whoever has not got a right."""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return f'User "{user}" cannot {verb} resource "{resource}" in API group "{group}" {where}'

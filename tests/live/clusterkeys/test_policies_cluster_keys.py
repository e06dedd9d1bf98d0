"""The admission policies and the RBAC of JoinKeys and MasterKeys, on a real API server (S2, R42, R51)."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tallystick.clusterkeys.admission import TARGETS_ARE_CHECKED, TARGETS_PROBE
from tallystick.install.installation import Installation
from tallystick.schema.meta import API_VERSION, GROUP
from tests.harness.api import Answer, Api
from tests.harness.grants import grant
from tests.harness.installed import new_namespace
from tests.harness.processes import poll
from tests.harness.rule_cases import every_creator, every_status_writer, every_writer
from tests.harness.writers import StatusWriter, Writer

Json = dict[str, Any]
Build = Callable[..., Json]

OURS = "tallystick-system"
CONTROLLER = f"system:serviceaccount:{OURS}:tallystick-controller"
EXCHANGE = f"system:serviceaccount:{OURS}:tallystick-exchange"
RBAC = "rbac.authorization.k8s.io"

TO_READ = "to share a join key with another namespace, you need permission to get Secrets in namespace {}"
TO_CREATE = "to share a join key with another namespace, you need permission to create Secrets in namespace {}"


class Places(NamedTuple):
    """Where the JoinKeys are, and two namespaces to share them with. Only the administrator may write in `closed`."""

    here: str
    there: str
    closed: str


class Person(NamedTuple):
    """A user, by what he may do with Secrets."""

    reads_here: bool
    creates_there: bool

    @property
    def name(self) -> str:
        return f"sharer-{self.reads_here}-{self.creates_there}".lower()

    def refusal(self, places: Places) -> str:
        """The text that he gets when he shares a key with `there`; '' if he may."""
        if not self.reads_here:
            return TO_READ.format(places.here)
        return "" if self.creates_there else TO_CREATE.format(places.there)


PEOPLE = [Person(*may) for may in itertools.product((False, True), repeat=2)]
NOBODY, EVERYBODY = PEOPLE[0], PEOPLE[-1]
every_person = pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)


@pytest.fixture(scope="module")
def places(make_namespace: Callable[[str], str]) -> Places:
    return Places(*(make_namespace(f"keys-{purpose}") for purpose in Places._fields))


@pytest.fixture(scope="module")
def build(places: Places) -> Build:
    """Build JoinKeys of names that no test uses yet."""
    numbers = itertools.count(1)

    def built(*targets: str | Json, **spec: Any) -> Json:
        listed = [{"namespace": one} if isinstance(one, str) else one for one in targets]
        return {
            "apiVersion": API_VERSION,
            "kind": "JoinKey",
            "metadata": {"name": f"jpd-{next(numbers)}", "namespace": places.here},
            "spec": spec | ({"targets": listed} if listed else {}),
        }

    return built


@pytest.fixture(scope="module")
def people(admin: Api, places: Places) -> dict[Person, Api]:
    """The four users. Each may edit JoinKeys here, and no more than his name says."""
    for person in PEOPLE:
        grant(admin, places.here, person.name, "tallystick-edit")
        for wanted, verb, namespace in (
            (person.reads_here, "get", places.here),
            (person.creates_there, "create", places.there),
        ):
            if wanted:
                permit(admin, person.name, verb, namespace)
    return {person: admin.as_user(person.name) for person in PEOPLE}


def permit(admin: Api, user: str, verb: str, namespace: str) -> None:
    """Let a user do one thing with the Secrets of a namespace, and return once the API server acts on it."""
    named = {"name": f"{user}-{verb}", "namespace": namespace}
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": [verb]}]
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": named, "rules": rules}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": named,
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": named["name"]},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }
    for body in (role, binding):
        admin.create(body).must_succeed()
    poll(lambda: admin.allowed(user, verb, "secrets", namespace=namespace, group=""))


def must_be(answer: Answer, text: str) -> None:
    """Fail unless the answer is a refusal with this text; '' is none."""
    if text:
        assert not answer.succeeded, "(the write was stored)"
        assert text in answer.message
    else:
        assert answer.succeeded, answer.message


# Who adds a target must be allowed to do by hand what the controller does for him.


@every_creator
@every_person
def test_a_key_is_shared_at_creation_only_by_who_may_read_it_here_and_create_it_there(
    admin: Api, people: dict[Person, Api], places: Places, build: Build, person: Person, writer: Writer
) -> None:
    body = build(places.there)

    answer = writer.create(people[person], body)

    must_be(answer, person.refusal(places))
    assert (admin.find(body) is not None) == (person is EVERYBODY)


@every_writer
@every_person
def test_a_key_is_shared_by_an_edit_only_by_who_may_read_it_here_and_create_it_there(
    admin: Api, people: dict[Person, Api], places: Places, build: Build, person: Person, writer: Writer
) -> None:
    body = build()
    writer.create(people[person], body).must_succeed()

    answer = writer.edit(people[person], body, body | {"spec": {"targets": [{"namespace": places.there}]}})

    must_be(answer, person.refusal(places))
    assert ("targets" in admin.get(body)["spec"]) == (person is EVERYBODY)


@every_person
def test_another_name_of_the_secret_and_another_namespace_are_new_targets(
    admin: Api, people: dict[Person, Api], places: Places, build: Build, person: Person
) -> None:
    named, moved = build(places.there), build(places.closed)
    for body in (named, moved):
        admin.create(body).must_succeed()

    renamed = people[person].merge(named, {"spec": {"targets": [{"namespace": places.there, "secretName": "another"}]}})
    replaced = people[person].merge(moved, {"spec": {"targets": [{"namespace": places.there}]}})

    must_be(renamed, person.refusal(places))
    must_be(replaced, person.refusal(places))


@pytest.mark.parametrize("place", [0, 1, 7, 15])
def test_each_of_sixteen_targets_is_checked(
    people: dict[Person, Api], places: Places, build: Build, place: int
) -> None:
    targets = [{"namespace": places.there, "secretName": f"s-{number}"} for number in range(16)]
    allowed, refused = build(*targets), build(*targets)
    refused["spec"]["targets"][place] = {"namespace": places.closed}

    answers = [people[EVERYBODY].create(body) for body in (allowed, refused)]

    must_be(answers[0], "")
    must_be(answers[1], TO_CREATE.format(places.closed))


def test_a_namespace_that_does_not_exist_is_checked_as_any_other(people: dict[Person, Api], build: Build) -> None:
    must_be(people[EVERYBODY].create(build("not-there")), TO_CREATE.format("not-there"))


def test_a_target_in_its_own_namespace_needs_no_permission(
    people: dict[Person, Api], places: Places, build: Build
) -> None:
    body = build({"namespace": places.here, "secretName": "second-copy"})

    must_be(people[NOBODY].create(body), "")


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"overlap": "1h"}, id="another overlap"),
        pytest.param({"serial": 2}, id="the next key"),
        pytest.param({"services": ["artifactory"]}, id="services"),
        pytest.param({"targets": None}, id="no target any more"),
        pytest.param({"masterKeyRef": {"name": "other"}}, id="another master key"),
    ],
)
def test_an_edit_that_shares_nothing_new_needs_no_permission(
    admin: Api, people: dict[Person, Api], places: Places, build: Build, patch: Json
) -> None:
    body = build(places.there, places.closed)
    admin.create(body).must_succeed()

    must_be(people[NOBODY].merge(body, {"spec": patch}), "")


def test_one_of_two_targets_is_removed_without_a_permission_and_not_added_again(
    admin: Api, people: dict[Person, Api], places: Places, build: Build
) -> None:
    body = build(places.there, places.closed)
    admin.create(body).must_succeed()

    removed = people[EVERYBODY].merge(body, {"spec": {"targets": [{"namespace": places.there}]}})
    added = people[EVERYBODY].merge(
        body, {"spec": {"targets": [{"namespace": places.there}, {"namespace": places.closed}]}}
    )

    must_be(removed, "")
    must_be(added, TO_CREATE.format(places.closed))


@every_person
@pytest.mark.parametrize("before", [{}, {"secretRef": {"name": "mine"}}], ids=["generated", "provided"])
def test_another_secret_as_the_source_is_a_new_key_for_every_target(
    admin: Api, people: dict[Person, Api], places: Places, build: Build, person: Person, before: Json
) -> None:
    body = build(places.there, **before)
    admin.create(body).must_succeed()

    answer = people[person].merge(body, {"spec": {"secretRef": {"name": "theirs"}}})

    must_be(answer, person.refusal(places))
    assert admin.get(body)["spec"].get("secretRef") == (
        {"name": "theirs"} if person is EVERYBODY else before.get("secretRef")
    )


def test_another_secret_as_the_source_asks_for_every_target(
    admin: Api, people: dict[Person, Api], places: Places, build: Build
) -> None:
    shared, alone = build(places.there, places.closed), build()
    for body in (shared, alone):
        admin.create(body).must_succeed()
    patch = {"spec": {"secretRef": {"name": "theirs"}}}

    must_be(people[EVERYBODY].merge(shared, patch), TO_CREATE.format(places.closed))
    must_be(people[NOBODY].merge(alone, patch), "")


def test_the_controller_sets_and_removes_its_finalizer(admin: Api, places: Places, build: Build) -> None:
    body = build(places.closed)
    stored = admin.create(body).must_succeed()
    controller = admin.as_user(CONTROLLER)

    held = controller.update(stored | {"metadata": stored["metadata"] | {"finalizers": ["tallystick.dev/copies"]}})
    freed = controller.update(held.body | {"metadata": held.body["metadata"] | {"finalizers": []}})

    must_be(held, "")
    must_be(freed, "")


def test_the_name_by_which_the_installer_checks_the_policy_is_reserved(admin: Api, build: Build) -> None:
    body = build()
    body["metadata"]["name"] = TARGETS_PROBE

    must_be(admin.create(body), TARGETS_ARE_CHECKED)


# A master key that join keys name is not deleted.


@pytest.fixture(scope="module")
def master_key(admin: Api, places: Places) -> Callable[[int | None], Json]:
    """Create MasterKeys that so many join keys name; None: nobody has counted them yet."""
    numbers = itertools.count(1)

    def created(total: int | None) -> Json:
        return a_master_key(admin, places.here, f"product-{next(numbers)}", total)

    return created


def a_master_key(admin: Api, namespace: str, name: str, total: int | None) -> Json:
    body: Json = {
        "apiVersion": API_VERSION,
        "kind": "MasterKey",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {},
    }
    admin.create(body).must_succeed()
    if total is not None:
        controller = admin.as_user(CONTROLLER, "system:masters")
        controller.merge(body, {"status": {"joinKeys": {"total": total}}}, subresource="status").must_succeed()
    return body


@pytest.mark.parametrize(("total", "count"), [(1, "1 join key names"), (2, "2 join keys name"), (1000, "1000 join")])
def test_a_master_key_in_use_is_not_deleted(admin: Api, master_key: Any, total: int, count: str) -> None:
    body = master_key(total)
    meta = body["metadata"]

    answers = [admin.delete(body), admin.delete(body, dry_run=True), admin.delete_all("MasterKey", meta["namespace"])]
    by_kubectl = admin._run_kubectl(["delete", "mkey", meta["name"], "-n", meta["namespace"]], None)

    for answer in answers[:2]:
        must_be(answer, f"{count}")
        must_be(answer, "delete them, or set another MasterKey in their spec.masterKeyRef, first")
    must_be(answers[2], "first")
    assert (by_kubectl.returncode, count in by_kubectl.stderr) == (1, True)
    assert admin.find(body) is not None


@pytest.mark.parametrize("total", [0, None])
def test_a_master_key_that_no_join_key_names_is_deleted(admin: Api, master_key: Any, total: int | None) -> None:
    body = master_key(total)

    must_be(admin.delete(body), "")
    assert admin.find(body) is None


def test_a_namespace_is_deleted_with_the_master_keys_in_use(admin: Api) -> None:
    namespace = new_namespace(admin, "keys-deleted")
    body = a_master_key(admin, namespace, "product", 2)

    admin.delete({"kind": "Namespace", "metadata": {"name": namespace}}).must_succeed()

    poll(lambda: admin.find(body) is None)


# Who may write and read what is.


@every_status_writer
@pytest.mark.parametrize("kind", ["JoinKey", "MasterKey"])
@pytest.mark.parametrize("user", ["", "somebody-with-every-right", EXCHANGE])
def test_s2_a_status_is_refused_to_all_but_the_controller(
    admin: Api, build: Build, kind: str, user: str, write_status: StatusWriter
) -> None:
    body = build() | {"kind": kind}
    admin.create(body).must_succeed()
    writer = admin.as_user(user, "system:masters") if user else admin
    text = f"only {CONTROLLER} may write the status of a {kind}" if user == EXCHANGE else "may write the status"

    answer = write_status(writer, body, body | {"status": {"state": "Active"}})

    must_be(answer, text)
    assert admin.get(body)["status"] == {"observedGeneration": -1}


def test_r42_the_exchange_reads_no_key_and_no_object_about_one(admin: Api, places: Places) -> None:
    for namespace in (places.here, OURS):
        for verb in ("get", "list", "watch"):
            for plural in ("joinkeys", "masterkeys"):
                assert not admin.allowed(EXCHANGE, verb, plural, namespace=namespace, group=GROUP)
            for name in ("default-join-key", "default-join-key-sealed", "default-master-key", ""):
                assert not admin.allowed(EXCHANGE, verb, "secrets", namespace=namespace, name=name, group="")


def test_r51_the_key_viewer_reads_the_default_join_key_and_no_other_secret(
    admin: Api, installed: Installation, places: Places
) -> None:
    grant(admin, places.here, "viewer", "tallystick-key-viewer")

    def may(verb: str, name: str) -> bool:
        return admin.allowed("viewer", verb, "secrets", namespace=places.here, name=name, group="")

    assert may("get", "default-join-key")
    for name in ("jpd-1-join-key", "default-join-key-sealed", "default-master-key", "tallystick-keyring", ""):
        assert not may("get", name)
    for verb in ("list", "watch", "update", "delete", "patch"):
        assert not may(verb, "default-join-key")


@pytest.mark.parametrize("role", ["view", "edit", "introspect"])
def test_r51_no_role_but_the_key_viewers_reads_a_secret(admin: Api, places: Places, role: str) -> None:
    user = f"keys-{role}"
    grant(admin, places.here, user, f"tallystick-{role}")

    for verb in ("get", "list", "watch"):
        assert not admin.allowed(user, verb, "secrets", namespace=places.here, name="default-join-key", group="")
    assert admin.allowed(user, "get", "joinkeys", namespace=places.here, group=GROUP) == (role != "introspect")
    assert admin.allowed(user, "create", "masterkeys", namespace=places.here, group=GROUP) == (role == "edit")

"""Every static rule of MasterKey on a real API server: what it refuses, with which text."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.clusterkeys.api.master_key import MasterKey
from tests.harness.api import Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    ask_for_status,
    by_creator,
    by_id,
    by_status_writer,
    by_writer,
    controller,
    must_be_refused,
    must_be_stored,
    objects_of,
)
from tests.harness.rule_shapes import schema_of
from tests.harness.writers import CREATE, StatusWriter, Writer
from tests.live.clusterkeys.rules_cluster_keys import (
    AHEAD,
    KEY_EDIT_ALLOWED,
    KEY_EDIT_REFUSED,
    KEY_SCHEMA_REFUSED,
    SECRET,
)

__all__ = ["controller"]

Json = dict[str, Any]

SPEC_SCHEMA, STATUS_SCHEMA = schema_of(MasterKey, "spec"), schema_of(MasterKey, "status")
FINGERPRINT = "mk-593c0005ccb30704a21278e9"

EXTERNAL_IS_YOURS = "external: true requires secretRef; a key that only memory holds cannot be generated"
NEXT_IS_YOURS = "secretRef can be added only in an edit that raises serial"
RECORD_KEPT = "status.serial cannot be lowered"

CREATE_REFUSED = [Refused("a generated key in memory alone", {}, {"external": True}, EXTERNAL_IS_YOURS)]
CREATE_ALLOWED = [
    Allowed("nothing", {}, {}),
    Allowed("a key of the user", {}, SECRET),
    Allowed("a small one in memory alone", {}, SECRET | {"keySize": 128, "external": True, "serial": 3}),
    Allowed("the longest name of a Secret", {}, {"secretRef": {"name": "x" * 253}}),
]
EDIT_REFUSED = [
    *KEY_EDIT_REFUSED,
    Refused("a generated key moved into memory", {}, {"external": True}, EXTERNAL_IS_YOURS),
    Refused("secretRef added", {}, SECRET, NEXT_IS_YOURS),
    Refused("secretRef added with another size", {}, SECRET | {"keySize": 128}, NEXT_IS_YOURS),
    Refused("secretRef added, and in memory alone", {}, SECRET | {"external": True}, NEXT_IS_YOURS),
]
EDIT_ALLOWED = [
    *KEY_EDIT_ALLOWED,
    Allowed("secretRef added for the next key", {}, SECRET | {"serial": 2}),
    Allowed("secretRef added, and in memory alone", {}, SECRET | {"serial": 2, "external": True}),
    Allowed("a key of the user rotated", SECRET, SECRET | {"serial": 2}),
    Allowed("a key of the user moved into memory", SECRET, SECRET | {"external": True}),
    Allowed("a key of the user moved out of memory", SECRET | {"external": True}, SECRET),
]
STATUS_REFUSED = [
    Refused("ahead of the spec", {}, {"serial": 3}, AHEAD),
    Refused("lowered", {"serial": 2}, {"serial": 1}, RECORD_KEPT),
    Refused("forgotten", {"serial": 2}, {"state": "Active"}, RECORD_KEPT),
    Refused("an unknown state", {}, {"state": "Replacing"}, "status.state: Unsupported value"),
    Refused("an unknown source", {}, {"source": "Found"}, "status.source: Unsupported value"),
    *(
        Refused(f"{field} {value[:12]!r}", {}, {field: value}, f"status.{field}")
        for field in ("fingerprint", "previousFingerprint")
        for value in ("", "jk-593c0005ccb30704a21278e9", "593c0005ccb30704a21278e9" * 2, FINGERPRINT.upper())
    ),
    Refused("a holder without a time", {}, {"holder": {"identity": "a"}}, "status.holder.loadedTime: Required value"),
    Refused(
        "a holder of two lines", {}, {"holder": {"identity": "a\nb", "loadedTime": "2030-01-01T12:00:00Z"}}, "identity"
    ),
    Refused("fewer than none", {}, {"joinKeys": {"total": -1}}, "status.joinKeys.total"),
]
STATUS_ALLOWED = [
    Allowed("the first key", {}, {"serial": 1, "state": "Active", "fingerprint": FINGERPRINT, "keySize": 256}),
    Allowed("the next key", {"serial": 1}, {"serial": 2, "previousFingerprint": FINGERPRINT, "state": "Rotating"}),
    Allowed("the same again", {"serial": 2}, {"serial": 2}),
    Allowed(
        "an external key",
        {},
        {"state": "Sealed", "holder": {"identity": "a", "loadedTime": "2030-01-01T12:00:00Z"}},
    ),
    Allowed("counts", {}, {"joinKeys": {"total": 2, "outdated": 1}}),
]


@pytest.fixture(scope="module")
def master_key(make_namespace: Callable[[str], str]) -> Callable[[Json], Json]:
    return objects_of("MasterKey", make_namespace("master-key-rules"))


def defaulted(spec: Json) -> Json:
    """Give the spec as it is stored: with the schema's defaults."""
    return {"external": False, "serial": 1} | spec


@by_creator(CREATE_REFUSED, SPEC_SCHEMA)
def test_a_create_is_refused_with_its_text(admin: Api, master_key: Any, writer: Writer, case: Refused) -> None:
    body = master_key(case.after)

    answer = writer.create(admin, body)

    must_be_refused(case, writer, answer)
    assert admin.find(body) is None


@by_id(KEY_SCHEMA_REFUSED)
def test_a_value_of_the_wrong_form_is_refused_by_its_field(admin: Api, master_key: Any, case: Refused) -> None:
    answer = admin.create(master_key(case.after))

    must_be_refused(case, CREATE, answer)


@by_creator(CREATE_ALLOWED, SPEC_SCHEMA)
def test_a_create_is_allowed_and_gets_the_defaults(admin: Api, master_key: Any, writer: Writer, case: Allowed) -> None:
    answer = writer.create(admin, master_key(case.after))

    must_be_stored(case, writer, answer, answer.body.get("spec"), defaulted(case.after))
    assert answer.body["status"] == {"observedGeneration": -1}


@by_writer(EDIT_REFUSED, SPEC_SCHEMA)
def test_an_edit_is_refused_with_its_text(admin: Api, master_key: Any, writer: Writer, case: Refused) -> None:
    before = master_key(case.before)
    stored = writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_refused(case, writer, answer)
    assert admin.get(before)["spec"] == stored["spec"]


@by_writer(EDIT_ALLOWED, SPEC_SCHEMA)
def test_an_edit_is_allowed(admin: Api, master_key: Any, writer: Writer, case: Allowed) -> None:
    before = master_key(case.before)
    writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_stored(case, writer, answer, admin.get(before)["spec"], defaulted(case.after))


@by_status_writer(STATUS_REFUSED, STATUS_SCHEMA)
def test_a_status_is_refused_with_its_text(
    admin: Api, controller: Api, master_key: Any, write_status: StatusWriter, case: Refused
) -> None:
    answer = ask_for_status(admin, controller, master_key({"serial": 2}), case, write_status)

    must_be_refused(case, write_status, answer)


@by_status_writer(STATUS_ALLOWED, STATUS_SCHEMA)
def test_a_status_is_allowed(
    admin: Api, controller: Api, master_key: Any, write_status: StatusWriter, case: Allowed
) -> None:
    answer = ask_for_status(admin, controller, master_key({"serial": 2}), case, write_status)

    must_be_stored(case, write_status, answer, answer.body.get("status"), {"observedGeneration": -1} | case.after)


@pytest.mark.parametrize(("length", "allowed"), [(63, True), (64, False)])
def test_a_name_has_at_most_63_characters(admin: Api, master_key: Any, length: int, allowed: bool) -> None:
    body = master_key({})
    body["metadata"]["name"] = "m" * length

    answer = admin.create(body)

    assert answer.succeeded == allowed
    assert allowed or "metadata.name must have at most 63 characters" in answer.message


def test_a_key_cannot_be_written_into_the_spec(admin: Api, master_key: Any) -> None:
    """There is no such field, and kubectl says so."""
    answer = admin.kubectl_apply(master_key({"key": "0123"}))

    assert not answer.succeeded
    assert 'unknown field "spec.key"' in answer.message

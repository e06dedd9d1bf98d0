"""Every rule for a create of a ConnectionConfiguration on a real API server, with its text."""

from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.connections import slots
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    by_creator,
    by_id,
    every_creator,
    must_be_refused,
    must_be_stored,
)
from tests.harness.writers import CREATE, Writer
from tests.live.connections.rules_connection_configuration import (
    KUBERNETES,
    PROXY,
    PROXY_ONLY,
    REMIND_IN_ORDER,
    SLOTS_AB,
    SPEC_SCHEMA,
    TWO_AT_MOST,
    UNIQUE,
    WHOLE_SECOND,
    connection,
    defaulted,
)
from tests.live.texts import LINES, NOTES

__all__ = ["connection"]

Json = dict[str, Any]

RECOMMEND_BOUNDS = "recommendAfter must be between 1s and 87600h"
REQUIRE_BOUNDS = "requireAfter must be between 1s and 87600h"

NO_NOTE = (
    "must not contain control characters other than line breaks and tabs, private-use characters, or characters that "
    "change the direction of text"
)
NO_LINE = (
    "must not contain line breaks, tabs, other control characters, private-use characters, or characters that change "
    "the direction of text"
)

CREATE_REFUSED = [
    *(
        Refused(f"{field} {text!r}", {}, KUBERNETES | {field: text}, f"{field} {refusal}")
        for field, refusal in (("description", NO_NOTE), ("displayName", NO_LINE))
        for text in ("red \x1b[31m alert", "over\rwritten", "\u202edesrever", "\ue000")
    ),
    *(
        Refused(f"displayName {text!r}", {}, KUBERNETES | {"displayName": text}, f"displayName {NO_LINE}")
        for text in ("two\nlines", "tab\tbed", "one\r\ntwo")
    ),
    Refused("three slots", {}, KUBERNETES | {"tokens": slots("a", "b", "c")}, TWO_AT_MOST),
    Refused("the same slot twice", {}, KUBERNETES | {"tokens": slots("a", "a")}, UNIQUE),
    Refused("a proxy of Kubernetes", {}, PROXY | KUBERNETES, PROXY_ONLY),
    *(
        Refused(f"licence until {end}", {}, KUBERNETES | {"licenseExpiresAt": end}, WHOLE_SECOND)
        for end in (
            "2030-01-01T12:00:00.5Z",
            "2030-01-01T12:00:00.000001Z",
            "1999-12-31T23:59:59Z",
            "2000-01-01T00:00:00+00:01",
            "9999-01-01T00:00:00Z",
            "9998-12-31T23:59:59-00:01",
        )
    ),
    *(
        Refused(f"{field} {age}", {}, KUBERNETES | {"rotationPolicy": {field: age}}, text)
        for field, text in (("recommendAfter", RECOMMEND_BOUNDS), ("requireAfter", REQUIRE_BOUNDS))
        for age in ("0s", "87600h1s", "99999999999999h")
    ),
    *(
        Refused(f"reminders of {policy}", {}, KUBERNETES | {"rotationPolicy": policy}, REMIND_IN_ORDER)
        for policy in (
            {"recommendAfter": "2h", "requireAfter": "1h59m59s"},
            {"requireAfter": "4379h"},
            {"recommendAfter": "8761h"},
        )
    ),
]

# What the schema refuses has the server's words.
SCHEMA_REFUSED = [
    *(
        Refused(
            f"deploymentType {name!r}",
            {},
            {"deploymentType": name},
            f'spec.deploymentType: Unsupported value: "{name}": supported values: "Kubernetes", "ReverseProxy"',
        )
        for name in ("kubernetes", "KUBERNETES", "reverseProxy", "Reverse Proxy", "")
    ),
    Refused("no deploymentType", {}, {}, "spec.deploymentType: Required value"),
    Refused("no slot", {}, KUBERNETES | {"tokens": []}, "spec.tokens in body should have at least 1 items"),
    Refused(
        "nine slots",
        {},
        KUBERNETES | {"tokens": slots(*"abcdefghi")},
        "spec.tokens: Too many: 9: must have at most 8 items",
    ),
    Refused("a slot without a name", {}, KUBERNETES | {"tokens": [{}]}, "spec.tokens[0].name: Required value"),
    *(
        Refused(f"slot {name[:12]!r}", {}, KUBERNETES | {"tokens": slots(name)}, "spec.tokens[0].name")
        for name in ("", "Default", "a_b", "-a", "a-", "a.b", "a b", "a\n", "ä", "x" * 64)
    ),
    *(
        Refused(f"{field} {value[:12]!r} of {len(value)}", {}, KUBERNETES | {field: value}, f"spec.{field}")
        for field, longest in (("displayName", 256), ("description", 1024))
        for value in ("\x7f", "a\u0085line", "x" * (longest + 1))
    ),
    *(
        Refused(f"licence until {end!r}", {}, KUBERNETES | {"licenseExpiresAt": end}, "spec.licenseExpiresAt")
        for end in (
            "",
            "tomorrow",
            "2030-01-01",
            "2030-01-01T12:00:00",
            "2030-13-01T12:00:00Z",
            "2030-02-30T12:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T12:00:60Z",
            "12030-01-01T12:00:00Z",
            "2030-01-01T12:00:00+24:00",
            "2030-01-01T12:00:00-24:00",
            "2030-01-01T12:00:00+14:60",
        )
    ),
    *(
        Refused(f"{field} {age!r}", {}, KUBERNETES | {"rotationPolicy": {field: age}}, f"spec.rotationPolicy.{field}")
        for field in ("recommendAfter", "requireAfter")
        for age in ("", "5 days", "1d", "1.5h", "-1h", "1m1h")
    ),
    *(
        Refused(f"secretName {name[:12]!r}", {}, KUBERNETES | {"secretName": name}, "spec.secretName")
        for name in ("", "Not_A_Name", "a..b", "x" * 254)
    ),
    Refused("a proxy of nothing", {}, PROXY | {"reverseProxy": {}}, "spec.reverseProxy.targetHost: Required value"),
    *(
        Refused(f"{field} {str(value)[:12]!r}", {}, PROXY | {"reverseProxy": {"targetHost": "a", field: value}}, text)
        for field, value, text in (
            ("targetHost", "", "spec.reverseProxy.targetHost"),
            ("targetHost", "https://a", "spec.reverseProxy.targetHost"),
            ("targetHost", "a/b", "spec.reverseProxy.targetHost"),
            ("targetHost", "me@a", "spec.reverseProxy.targetHost"),
            ("targetHost", "a\n", "spec.reverseProxy.targetHost"),
            ("targetHost", "x" * 254, "spec.reverseProxy.targetHost"),
            ("targetPorts", [], "spec.reverseProxy.targetPorts in body should have at least 1 items"),
            ("targetPorts", [0], "spec.reverseProxy.targetPorts[0] in body should be greater than or equal to 1"),
            ("targetPorts", [443, 65536], "targetPorts[1] in body should be less than or equal to 65535"),
            ("targetPorts", ["https"], "spec.reverseProxy.targetPorts[0]"),
            ("targetPorts", list(range(1, 18)), "targetPorts: Too many: 17: must have at most 16 items"),
            ("protocol", "https", 'Unsupported value: "https": supported values: "HTTPS", "HTTP"'),
            ("protocol", "TCP", 'Unsupported value: "TCP": supported values: "HTTPS", "HTTP"'),
        )
    ),
]

CREATE_ALLOWED = [
    Allowed("the least of Kubernetes", {}, KUBERNETES),
    Allowed("the least of a proxy", {}, {"deploymentType": "ReverseProxy"}),
    Allowed(
        "all of a proxy",
        {},
        {
            "deploymentType": "ReverseProxy",
            "displayName": "Küche, 3. Stock 🏠",
            "description": "x" * 1024,
            "reverseProxy": {"targetHost": "2001:db8::1", "targetPorts": [1, 65535], "protocol": "HTTP"},
            "tokens": slots("0", "x" * 63),
            "licenseExpiresAt": "9998-12-31T23:59:59Z",
            "rotationPolicy": {"recommendAfter": "1s", "requireAfter": "87600h"},
            "secretName": "dc.west",
        },
    ),
    *(Allowed(f"description {note!r}", {}, KUBERNETES | {"description": note}) for note in NOTES),
    *(Allowed(f"displayName {line!r}", {}, KUBERNETES | {"displayName": line}) for line in LINES),
    Allowed("a partial proxy", {}, PROXY),
    Allowed("two slots at once", {}, SLOTS_AB),
    Allowed("a licence that is over", {}, KUBERNETES | {"licenseExpiresAt": "2000-01-01T00:00:00Z"}),
    Allowed("a licence of another zone", {}, KUBERNETES | {"licenseExpiresAt": "2030-01-01T12:00:00.000+02:00"}),
    Allowed("a partial policy: recommendAfter", {}, KUBERNETES | {"rotationPolicy": {"recommendAfter": "8760h"}}),
    Allowed("a partial policy: requireAfter", {}, KUBERNETES | {"rotationPolicy": {"requireAfter": "262800m"}}),
    Allowed("an empty policy", {}, KUBERNETES | {"rotationPolicy": {}}),
]


@by_creator(CREATE_REFUSED, SPEC_SCHEMA)
def test_a_create_is_refused_with_its_text(admin: Api, connection: Any, writer: Writer, case: Refused) -> None:
    body = connection(case.after)

    answer = writer.create(admin, body)

    must_be_refused(case, writer, answer)
    assert admin.find(body) is None


@by_id(SCHEMA_REFUSED)
def test_a_value_of_the_wrong_form_is_refused_by_its_field(admin: Api, connection: Any, case: Refused) -> None:
    answer = admin.create(connection(case.after))

    must_be_refused(case, CREATE, answer)


@by_creator(CREATE_ALLOWED, SPEC_SCHEMA)
def test_a_create_is_allowed_and_gets_the_defaults(admin: Api, connection: Any, writer: Writer, case: Allowed) -> None:
    answer = writer.create(admin, connection(case.after))

    must_be_stored(case, writer, answer, answer.body.get("spec"), defaulted(case.after))
    assert answer.body["status"] == {"observedGeneration": -1}


def test_a_token_cannot_be_written_into_the_spec(admin: Api, connection: Any) -> None:
    """R18: there is no such field, and kubectl says so."""
    answer = admin.kubectl_apply(connection(KUBERNETES | {"tokens": [{"name": "a", "value": "x"}]}))

    assert not answer.succeeded
    assert 'unknown field "spec.tokens[0].value"' in answer.message


@every_creator
@pytest.mark.parametrize(("length", "allowed"), [(63, True), (64, False)])
def test_a_name_has_at_most_63_characters(
    admin: Api, connection: Any, writer: Writer, length: int, allowed: bool
) -> None:
    body = connection(KUBERNETES)
    body["metadata"]["name"] = writer.name.replace(" ", "-").ljust(length, "x")

    answer = writer.create(admin, body)

    assert answer.succeeded == allowed
    assert allowed or "metadata.name must have at most 63 characters" in answer.message

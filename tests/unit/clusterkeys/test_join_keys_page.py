"""docs/join-keys.md shows the programs that `make interop` runs, and the vectors that the code computes."""

import json
import re
import textwrap
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from tallystick.clusterkeys.api.join_key import JoinKey
from tallystick.clusterkeys.api.master_key import MasterKey
from tallystick.clusterkeys.client.service_tokens import MAX_LIFETIME, MAX_TOKEN_LENGTH, Membership, sign, verify
from tallystick.clusterkeys.domain.join_key_copies import JOIN_KEY_COPY, SEALED_JOIN_KEY, SEALED_KEY, places
from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.domain.sealing import SealedFor, seal
from tests.interop import service_token
from tests.unit.clusterkeys.vectors import VECTORS, Json, a_join_key, counting_key
from tests.unit.test_docs import DOCS, codes, rows, section
from tests.unit.test_house import REPOSITORY

PAGE = (DOCS / "join-keys.md").read_text()
INTEROP = REPOSITORY / "tests" / "interop"
NOW = 1_796_040_000
KINDS = {"join": Purpose.JOIN, "master": Purpose.MASTER}


def blocks(language: str, title: str) -> list[str]:
    """Return the code blocks of a language in one section."""
    return re.findall(rf"^```{language}\n(.*?)^```", section(PAGE, title), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("title", "language", "file"),
    [
        ("Python", "python", "service_token.py"),
        ("Node.js", "javascript", "node/service_token.mjs"),
        ("Go", "go", "go/servicetoken/servicetoken.go"),
    ],
)
def test_a_program_on_the_page_is_the_one_that_is_tested(title: str, language: str, file: str) -> None:
    assert (INTEROP / file).read_text() in blocks(language, title)


def records(number: int) -> list[dict[str, str]]:
    """Return the records of one block of vectors: lines of a name and a value."""
    block = blocks("text", "Vectors")[number]
    return [
        dict(re.findall(r"^(\S+(?: \S+)*?)  +(\S+)$", record, flags=re.MULTILINE)) for record in block.split("\n\n")
    ]


def test_the_fingerprints_of_the_page_are_those_of_the_code() -> None:
    lines = [line.split() for line in blocks("text", "Vectors")[0].splitlines()]

    assert lines == [[kind, key, counting_key(KINDS[kind], key).fingerprint] for kind, key, _ in lines]
    assert [key for _, key, _ in lines] == [vector["key"] for vector in VECTORS["fingerprint"]]


def test_the_service_tokens_of_the_page_are_those_of_the_code() -> None:
    issued = datetime.fromtimestamp(1767225600, UTC)
    computed = []
    for vector in VECTORS["hs256"]:
        key = counting_key(Purpose.JOIN, vector["joinKey"])
        token_id = json.loads(vector["claims"])["jti"]
        token = sign(Membership(key, None, "example"), "artifactory", {}, now=issued, lifetime=300, token_id=token_id)
        signing_key = key.derive("tallystick.dev/join-key/hs256/v1", 32).hex()
        computed.append({"join key": key.to_hex(), "signing key": signing_key, "token": token})

    assert records(1) == computed


def test_the_sealed_keys_of_the_page_are_those_of_the_code() -> None:
    assert records(2) == [
        {"master key": vector["masterKey"], "join key": vector["joinKey"], "sealed": _sealed(vector)}
        for vector in VECTORS["sealed"]
    ]


def _sealed(vector: Json) -> str:
    join, master = counting_key(Purpose.JOIN, vector["joinKey"]), counting_key(Purpose.MASTER, vector["masterKey"])
    about = SealedFor("JoinKey", "docs", "example", "00000000-0000-4000-8000-000000000000", 1)
    return seal(join, master, about, lambda _: bytes.fromhex(vector["iv"]))


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    text = section(PAGE, "Service tokens")

    assert f"`exp` is 1 to {MAX_LIFETIME} seconds after `iat`" in text
    assert f"at most {MAX_TOKEN_LENGTH} characters" in text


def test_the_objects_of_the_page_are_accepted_as_they_are() -> None:
    (block,) = re.findall(r"^   ```yaml\n(.*?)^   ```", section(PAGE, "In ten minutes"), flags=re.DOTALL | re.MULTILINE)
    master, join = yaml.safe_load_all(textwrap.dedent(block))

    assert MasterKey.model_validate(master).spec.external is False
    shared = [str(place) for place in places(JoinKey.model_validate(join))]
    assert shared == ["edge/jpd-1-join-key", "rt/jpd-1-join-key"]


def test_the_files_of_the_page_are_the_data_keys_of_a_copy() -> None:
    documented = codes(rows(section(PAGE, "Mount the key"), "file"))

    assert set(documented) == JOIN_KEY_COPY.keys
    assert len(documented) == len(JOIN_KEY_COPY.keys)


def test_r60_r70_the_page_mounts_a_folder_that_the_service_alone_can_read() -> None:
    (pod,) = map(yaml.safe_load, blocks("yaml", "Mount the key"))
    (volume,) = pod["spec"]["volumes"]
    (container,) = pod["spec"]["containers"]

    assert volume["secret"] == {"secretName": "jpd-1-join-key", "defaultMode": 0o400}
    assert pod["spec"]["securityContext"]["fsGroup"]
    assert [set(mount) for mount in container["volumeMounts"]] == [{"name", "mountPath", "readOnly"}]
    assert "`subPath` and environment variables keep the old key" in section(PAGE, "Mount the key")


def test_the_sealed_copy_of_the_page_is_the_one_that_the_controller_writes() -> None:
    text = section(PAGE, "Sealed join keys")

    assert f"Secret `<name>{SEALED_JOIN_KEY.suffix}`" in text
    assert "{.data." + SEALED_KEY.replace(".", "\\.") + "}" in text


def a_member(*keys: ClusterKey, services: list[str] | None = None) -> Any:
    return {
        "keys": {service_token.key_id(key.to_bytes()): key.to_bytes() for key in keys},
        "cluster": "jpd-1",
        "services": services or [],
    }


def test_the_python_program_of_the_page_verifies_what_the_module_signs() -> None:
    membership = Membership(a_join_key(), None, "jpd-1")
    token = sign(membership, "access", {}, now=datetime.fromtimestamp(NOW, UTC), lifetime=60, token_id="t-1")

    claims = service_token.verify(token, a_member(a_join_key("second"), a_join_key()), now=NOW)

    assert claims == verify(token, membership, now=datetime.fromtimestamp(NOW, UTC))
    with pytest.raises(ValueError, match="the token is not valid"):
        service_token.verify(token, a_member(a_join_key(), services=["xray"]), now=NOW)


def test_the_module_verifies_what_the_python_program_of_the_page_signs() -> None:
    token = service_token.sign(a_member(a_join_key()), "access", now=NOW)

    claims = verify(token, Membership(a_join_key(), None, "jpd-1"), now=datetime.fromtimestamp(NOW, UTC))

    assert (claims["iss"], claims["exp"]) == ("access", NOW + 300)


def test_the_page_has_the_sections_that_others_link_to() -> None:
    for title in ("In ten minutes", "Mount the key", "Replace a key", "Back up", "Limits of the protection"):
        assert section(PAGE, title)

"""The two Secrets with the certificate of the exchange, through years of virtual time and damages."""

import base64
from datetime import timedelta

import pytest

from tallystick.controller.serving_certificate import LOOK_SECONDS
from tallystick.controller.serving_plan import CA, CERTIFICATE, KEY
from tallystick.crypto.certificates import (
    AUTHORITY_LIFETIME,
    SERVING_LIFETIME,
    is_signed_by,
    names_of,
    new_authority,
    renewal_time,
)
from tallystick.errors import NotYetError
from tallystick.objects.labels import MANAGED_BY, TLS_SERVICE_LABEL
from tallystick.objects.reasons import SharedReason
from tallystick.schema.builtin import SECRETS
from tests.fakes import FakeClock
from tests.worlds.certificate_world import CA_SECRET, HOME, SERVICE, TLS_SECRET, URLS, CertificateWorld


@pytest.fixture
def world() -> CertificateWorld:
    return CertificateWorld()


async def test_the_first_leader_makes_a_ca_and_a_certificate_for_all_names(world):
    await world.leader.care.run()

    local = f"{SERVICE}.{HOME}"
    names = {SERVICE, local, f"{local}.svc", f"{local}.svc.cluster.local"}
    assert names_of(world.serving()) == names | {"trust.example.com", "2001:db8::7", "192.0.2.7"}
    assert is_signed_by(world.serving(), world.ca())
    assert set(world.body(CA_SECRET)["data"]) == {CERTIFICATE, KEY}
    assert world.data(TLS_SECRET, CA) == world.data(CA_SECRET, CERTIFICATE) == world.leader.care.ca_pem().encode()
    assert {world.body(name)["type"] for name in (CA_SECRET, TLS_SECRET)} == {"kubernetes.io/tls"}
    assert world.leader.expiry == world.serving().not_valid_after_utc.timestamp()
    assert [(line.action, line.outcome) for line in world.leader.audit.lines] == [
        ("create-ca", "ok"),
        ("issue-certificate", "ok"),
    ]


async def test_a_second_run_and_another_leader_write_nothing(world):
    await world.leader.care.run()
    before, rival = world.writes(), world.another()

    await world.leader.care.run()
    await rival.care.run()

    assert world.writes() == before
    assert rival.care.ca_pem() == world.leader.care.ca_pem()
    assert (rival.looks, rival.care.problem, rival.audit.lines) == (0, "", [])


async def test_the_certificate_is_renewed_at_two_thirds_of_its_life_under_the_same_ca(world):
    await world.leader.care.run()
    first, ca = world.serving(), world.ca()
    world.advance_to(renewal_time(first) - timedelta(seconds=1))
    await world.leader.care.run()
    assert world.serving() == first

    world.clock.advance(1)
    await world.leader.care.run()

    assert world.ca() == ca
    assert world.serving().not_valid_after_utc == world.clock.now() + SERVING_LIFETIME
    assert world.serving().public_key() != first.public_key()
    assert is_signed_by(world.serving(), ca)
    assert world.leader.looks == 0  # the CA in the Secrets of tokens stays the same


async def test_in_thirty_years_no_moment_is_without_a_valid_certificate_and_the_key_of_the_ca_stays(world):
    await world.leader.care.run()
    key, certificates = world.ca().public_key(), {world.ca().serial_number}
    end = world.clock.now() + 3 * AUTHORITY_LIFETIME
    while world.clock.now() < end:
        due = min(renewal_time(world.serving()), renewal_time(world.ca()))
        world.advance_to(due)
        assert due < world.serving().not_valid_after_utc
        assert due < world.ca().not_valid_after_utc
        await world.leader.care.run()
        certificates.add(world.ca().serial_number)
        assert world.ca().public_key() == key
        assert world.data(TLS_SECRET, CA) == world.data(CA_SECRET, CERTIFICATE)

    assert len(certificates) > 3
    # Each renewed certificate of the CA is written to the Secrets of tokens.
    assert world.leader.looks == len(certificates) - 1
    assert world.leader.care.ca_pem().encode() == world.data(CA_SECRET, CERTIFICATE)


async def test_another_public_url_needs_another_certificate_under_the_same_ca(world):
    await world.leader.care.run()
    ca = world.ca()

    await world.another((*URLS, "https://new.example.com")).care.run()

    assert "new.example.com" in names_of(world.serving())
    assert world.ca() == ca


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: data.update({CERTIFICATE: "bm9uZQ=="}), id="a certificate that is none"),
        pytest.param(lambda data: data.update({KEY: "!"}), id="no base64"),
        pytest.param(lambda data: data.pop(KEY), id="no key"),
        pytest.param(lambda data: data.update({CA: "bm9uZQ=="}), id="another ca.crt"),
        pytest.param(lambda data: data.clear(), id="no data"),
    ],
)
async def test_a_damaged_certificate_is_issued_again(world, edit):
    await world.leader.care.run()
    ca = world.ca()
    world.cluster.edit(SECRETS, HOME, TLS_SECRET, lambda body: edit(body["data"]))

    await world.leader.care.run()

    assert is_signed_by(world.serving(), ca)
    assert world.data(TLS_SECRET, CA) == world.data(CA_SECRET, CERTIFICATE)


async def test_a_deleted_certificate_is_issued_again_under_the_same_ca(world):
    await world.leader.care.run()
    ca = world.ca()
    world.cluster.remove(SECRETS, HOME, TLS_SECRET)

    await world.leader.care.run()

    assert (world.ca(), is_signed_by(world.serving(), ca)) == (ca, True)


async def test_a_leader_with_a_wrong_clock_issues_nothing_and_uses_what_is_there(world):
    await world.leader.care.run()
    before = world.writes()
    hasty = world.another()
    hasty.server_clock.observe(world.clock.now() - timedelta(days=80))
    world.advance_to(renewal_time(world.serving()))

    with pytest.raises(NotYetError, match="synchronize the clocks"):
        await hasty.care.run()

    assert world.writes() == before
    assert hasty.care.ca_pem() == world.leader.care.ca_pem()


async def test_what_others_add_to_our_secrets_stays(world):
    await world.leader.care.run()
    world.cluster.edit(SECRETS, HOME, TLS_SECRET, lambda body: body["metadata"].update(annotations={"reflect": "yes"}))
    world.advance_to(renewal_time(world.serving()))

    await world.leader.care.run()

    assert world.body(TLS_SECRET)["metadata"]["annotations"] == {"reflect": "yes"}


@pytest.mark.parametrize("name", [CA_SECRET, TLS_SECRET])
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="no label"),
        pytest.param({MANAGED_BY: "Helm"}, id="of Helm"),
        pytest.param({MANAGED_BY: "tallystick"}, id="of a token"),
        pytest.param({MANAGED_BY: "tallystick", TLS_SERVICE_LABEL: "other"}, id="of another Service"),
    ],
)
async def test_s30_a_foreign_secret_is_left_alone_and_reported_once_with_what_to_do(world, name, labels):
    world.foreign(name, **labels)

    for _ in range(3):
        await world.leader.care.run()

    (event,) = world.leader.events.warnings
    assert world.writes() == 0
    assert f"Secret {HOME}/{name} exists and the operator has not made it" in world.leader.care.problem
    assert "Delete it, or set another --tls-service" in world.leader.care.ready()["certificate"]
    assert (event.reason, event.message) == (SharedReason.CERTIFICATE_BLOCKED, world.leader.care.problem)
    with pytest.raises(NotYetError, match="has not made it") as raised:
        world.leader.care.ca_pem()
    assert raised.value.reason is SharedReason.CERTIFICATE_BLOCKED

    world.cluster.remove(SECRETS, HOME, name)
    await world.leader.care.run()

    assert (world.leader.care.problem, world.leader.care.ready()) == ("", {})
    assert is_signed_by(world.serving(), world.ca())


async def test_s30_a_lost_ca_is_not_replaced_and_the_certificate_stays_in_use(world):
    await world.leader.care.run()
    serving, kept = world.body(TLS_SECRET), world.body(CA_SECRET)
    world.cluster.remove(SECRETS, HOME, CA_SECRET)
    successor = world.another()
    for leader in (world.leader, successor):
        await leader.care.run()

        assert f"Secret {HOME}/{CA_SECRET} is missing" in leader.care.problem
        assert leader.care.ca_pem().encode() == base64.b64decode(serving["data"][CA])
    assert world.body(TLS_SECRET) == serving

    world.cluster.put(SECRETS, kept)
    await world.leader.care.run()

    assert (world.leader.care.problem, world.body(TLS_SECRET)) == ("", serving)


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"", id="nothing"),
        pytest.param(new_authority(FakeClock().now()).certificate_pem, id="another CA"),
    ],
)
async def test_s30_of_a_lost_ca_no_copy_is_used_that_has_not_signed_the_certificate(world, copy):
    await world.leader.care.run()
    world.cluster.remove(SECRETS, HOME, CA_SECRET)
    edited = base64.b64encode(copy).decode()
    world.cluster.edit(SECRETS, HOME, TLS_SECRET, lambda body: body["data"].update({CA: edited}))
    successor = world.another()

    await successor.care.run()

    with pytest.raises(NotYetError, match="is missing"):
        successor.care.ca_pem()


@pytest.mark.parametrize("data", [{}, {CERTIFICATE: "bm9uZQ=="}])
async def test_a_damaged_ca_is_not_replaced(world, data):
    await world.leader.care.run()
    world.cluster.edit(SECRETS, HOME, CA_SECRET, lambda body: body.update(data=data))
    before = world.body(CA_SECRET)

    await world.leader.care.run()

    assert world.body(CA_SECRET) == before
    assert "is damaged" in world.leader.care.problem


async def test_a_certificate_in_the_place_of_the_ca_is_no_ca(world):
    await world.leader.care.run()
    data = world.body(TLS_SECRET)["data"]
    world.cluster.edit(SECRETS, HOME, CA_SECRET, lambda body: body.update(data=data))

    await world.leader.care.run()

    assert "the certificate is not that of a CA" in world.leader.care.problem


async def test_both_secrets_deleted_are_another_ca_that_the_secrets_of_tokens_get(world):
    await world.leader.care.run()
    first = world.leader.care.ca_pem()
    for name in (CA_SECRET, TLS_SECRET):
        world.cluster.remove(SECRETS, HOME, name)

    await world.leader.care.run()

    assert world.leader.care.ca_pem() != first
    assert world.leader.looks == 1


async def test_s30_until_the_ca_is_read_no_secret_of_a_token_is_written(world):
    with pytest.raises(NotYetError, match="not read yet") as raised:
        world.leader.care.ca_pem()

    # No condition reports a state of seconds.
    assert not isinstance(raised.value.reason, SharedReason)


def test_a_look_is_far_more_frequent_than_a_renewal():
    assert (SERVING_LIFETIME / 3).total_seconds() / 1000 > LOOK_SECONDS
    assert renewal_time(new_authority(FakeClock().now()).certificate) > FakeClock().now() + SERVING_LIFETIME

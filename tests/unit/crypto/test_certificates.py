"""The CA of the exchange and the certificates that it signs, as OpenSSL and `cryptography` judge them."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from tallystick.crypto.certificates import (
    AUTHORITY_LIFETIME,
    BACKDATED,
    SERVING_LIFETIME,
    CertifiedKey,
    is_authority,
    is_signed_by,
    names_of,
    new_authority,
    read_certified_key,
    renewal_time,
    renewed_authority,
    serving_certificate,
)
from tests.fakes import NOON

NAMES = ("exchange.ops.svc", "trust.example.com", "192.0.2.7", "2001:db8::7")


def verified(chain_end: CertifiedKey, *trusted: CertifiedKey, host: str = NAMES[0], at=NOON) -> None:
    """Verify as a TLS client does; raises VerificationError."""
    store = Store([one.certificate for one in trusted])
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(host))
    verifier.verify(chain_end.certificate, [])


def test_a_client_that_trusts_the_ca_trusts_its_server_under_each_name():
    ca = new_authority(NOON)
    serving = serving_certificate(ca, NAMES, NOON)

    verified(serving, ca)
    verified(serving, ca, host="trust.example.com")
    assert names_of(serving.certificate) == set(NAMES)
    assert is_signed_by(serving.certificate, ca.certificate)
    with pytest.raises(VerificationError):
        verified(serving, ca, host="elsewhere.example.com")
    with pytest.raises(VerificationError):
        verified(serving, new_authority(NOON))


def test_a_server_certificate_cannot_sign_others():
    ca = new_authority(NOON)
    serving = serving_certificate(ca, NAMES, NOON)
    forged = serving_certificate(serving, NAMES, NOON)

    assert is_authority(ca.certificate)
    assert not is_authority(serving.certificate)
    with pytest.raises(VerificationError):
        verified(forged, ca, serving)


def test_a_client_with_the_former_certificate_of_the_ca_trusts_what_the_renewed_one_signs_and_the_reverse():
    former = new_authority(NOON)
    at = renewal_time(former.certificate)
    renewed = renewed_authority(former, at)

    verified(serving_certificate(renewed, NAMES, at), former, at=at)
    verified(serving_certificate(former, NAMES, at), renewed, at=at)
    assert renewed.certificate.not_valid_after_utc == at + AUTHORITY_LIFETIME
    assert renewed.certificate.serial_number != former.certificate.serial_number


def test_two_thirds_of_the_life_are_the_time_of_renewal():
    serving = serving_certificate(new_authority(NOON), NAMES, NOON)

    begin = NOON - BACKDATED
    assert serving.certificate.not_valid_before_utc == begin
    assert serving.certificate.not_valid_after_utc == NOON + SERVING_LIFETIME
    assert renewal_time(serving.certificate) == begin + (SERVING_LIFETIME + BACKDATED) * 2 / 3


def test_no_certificate_outlives_its_ca():
    ca = new_authority(NOON)
    late = ca.certificate.not_valid_after_utc - timedelta(days=1)

    serving = serving_certificate(ca, NAMES, late)

    assert serving.certificate.not_valid_after_utc == ca.certificate.not_valid_after_utc


def test_what_was_written_is_read():
    ca = new_authority(NOON)

    read = read_certified_key(ca.certificate_pem, ca.key_pem)

    assert (read.certificate, read.key_pem) == (ca.certificate, ca.key_pem)
    assert "PRIVATE" not in repr(read)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        pytest.param(b"", None, "not valid PEM", id="no certificate"),
        pytest.param(None, b"", "not valid PEM", id="no key"),
        pytest.param(b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", None, "PEM", id="cut off"),
        pytest.param(None, _pem(ec.generate_private_key(ec.SECP256R1())), "does not belong", id="of another key"),
        pytest.param(None, _pem(rsa.generate_private_key(65537, 2048)), "not an EC key", id="RSA"),
        pytest.param(None, _pem(ec.generate_private_key(ec.SECP256R1()), b"pw"), "PEM", id="encrypted"),
    ],
)
def test_a_pair_that_cannot_be_used_is_refused(certificate, key, reason):
    good = new_authority(NOON)

    with pytest.raises(ValueError, match=reason):
        read_certified_key(
            good.certificate_pem if certificate is None else certificate, good.key_pem if key is None else key
        )


def test_a_certificate_without_names_has_none():
    assert names_of(new_authority(NOON).certificate) == frozenset()

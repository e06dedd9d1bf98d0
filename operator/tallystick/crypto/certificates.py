"""X.509 for the exchange: a certificate authority, and the server certificates that it signs (RFC 5280).

All keys are EC P-256. No function reads a clock or a file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3653)
SERVING_LIFETIME = timedelta(days=90)
# A client with a slow clock must accept a new certificate.
BACKDATED = timedelta(minutes=5)
_COMMON_NAME = "Tallystick exchange"


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate (PEM)."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key (PEM, PKCS #8, not encrypted)."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def read_certified_key(certificate_pem: bytes, key_pem: bytes) -> CertifiedKey:
    """Read a certificate and its key; raises ValueError if one is damaged, or they do not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, password=None)
        public_key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the certificate or its key is not valid PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an EC key")  # noqa: TRY004 - callers treat any damage alike
    if key.public_key() != public_key:
        raise ValueError("the key does not belong to the certificate")
    return CertifiedKey(certificate, key)


def new_authority(now: datetime) -> CertifiedKey:
    """Make a certificate authority that signs only server certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()
    # Two installations have two names, so that a client that trusts both finds the right one.
    return _authority(key, _named(f"{_COMMON_NAME} CA {key_id[:8]}"), now)


def renewed_authority(authority: CertifiedKey, now: datetime) -> CertifiedKey:
    """Extend the life of an authority. Name and key stay, so a client with either certificate trusts its servers."""
    return _authority(authority.key, authority.certificate.subject, now)


def serving_certificate(authority: CertifiedKey, names: Iterable[str], now: datetime) -> CertifiedKey:
    """Make a key, and a server certificate for these DNS names and IP addresses. The authority outlives it."""
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + SERVING_LIFETIME, authority.certificate.not_valid_after_utc)
    certificate = (
        begun_certificate(_named(_COMMON_NAME), authority.certificate.subject, key, now)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .add_extension(alternative_names(sorted(set(names))), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return CertifiedKey(certificate, key)


def renewal_time(certificate: x509.Certificate) -> datetime:
    """Return the time at which two thirds of the life of a certificate have passed."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 / 3


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """Return the DNS names and IP addresses of a server certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    return frozenset({*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))})


def is_authority(certificate: x509.Certificate) -> bool:
    """Return whether a certificate may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Return whether an authority has signed a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _authority(key: ec.EllipticCurvePrivateKey, name: x509.Name, now: datetime) -> CertifiedKey:
    certificate = (
        begun_certificate(name, name, key, now)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return CertifiedKey(certificate, key)


def begun_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    """Begin a certificate that is valid from now on. Its end and further extensions are to be added."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - BACKDATED)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return the extension of an authority, or of a certificate that only signs messages."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """Return the extension with DNS names and IP addresses."""
    return x509.SubjectAlternativeName(list(map(_general_name, names)))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

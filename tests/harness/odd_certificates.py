"""Certificates as other people make them: without key identifiers, expired, for another name, for another use."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
          "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path
    chain: tuple[x509.Certificate, PrivateKey]

    def serving(self, *, clients: Path | None = None, weak: bool = False) -> ssl.SSLContext:
        """Return the context of a server that has this certificate, and asks for those of clients."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if weak:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(self.certificate, self.key)
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context


def issue(  # noqa: PLR0913 - as many ways as certificates differ
    folder: Path,
    name: str,
    signer: Issued | None = None,
    *,
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost"),
    ca: bool | None = None,
    identified: bool = True,
    usage: x509.ObjectIdentifier | None = SERVER,
    key_usage: tuple[str, ...] = (),
    starts: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=1),
    bits: int = 0,
) -> Issued:
    """Make one.

    Args:
        folder: where its files go.
        name: its common name.
        signer: who signs it; None: it signs itself.
        hosts: its alternative names.
        ca: its basic constraint; None: it has none.
        identified: whether it has key identifiers.
        usage: its extended key usage; None: none.
        key_usage: its key usage; (): none.
        starts: when it begins, from now.
        ends: when it ends, from now.
        bits: the length of its RSA key; 0: it has a P-256 key.
    """
    key: PrivateKey = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    issuer, issuer_key = signer.chain if signer else (None, key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if key_usage:
        builder = builder.add_extension(x509.KeyUsage(**{one: one in key_usage for one in USAGES}), critical=True)
    if identified:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(authority, critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    files = (folder / f"{name}.crt", folder / f"{name}.key")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(pem)
    return Issued(*files, (certificate, key))


def authority(folder: Path, name: str, signer: Issued | None = None, *, identified: bool = True) -> Issued:
    """Make an authority."""
    return issue(
        folder, name, signer, hosts=(), ca=True, identified=identified, usage=None, key_usage=("key_cert_sign",)
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)

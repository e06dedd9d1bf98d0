"""Certificates: who may what, kept while good, renewed in time."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from tallystick.localplane.certificates import KeyPair
from tallystick.localplane.pki import Pki, issue_serving_certificate, prepare_pki, prepare_serving

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return prepare_pki(tmp_path / "pki", now=NOW)


def read(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def contents(pki: Pki) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pki.folder.iterdir()}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def verify_server(authority: KeyPair, leaf: KeyPair, name: str) -> None:
    store = Store([read(authority)])
    PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(name)).verify(read(leaf), [])


def test_every_file_is_closed_to_others(pki: Pki) -> None:
    modes = {path.stat().st_mode & 0o777 for path in pki.folder.iterdir()}

    assert modes == {0o600}
    assert pki.folder.stat().st_mode & 0o777 == 0o700


def test_the_api_server_proves_its_names_to_a_client_that_trusts_the_ca(pki: Pki) -> None:
    for name in ("localhost", "kubernetes", "kubernetes.default.svc"):
        verify_server(pki.ca, pki.api_server, name)

    with pytest.raises(VerificationError):
        verify_server(pki.ca, pki.api_server, "example.com")


def test_the_authority_of_the_api_server_opens_no_door_to_etcd(pki: Pki) -> None:
    read(pki.etcd_client).verify_directly_issued_by(read(pki.etcd_ca))

    with pytest.raises(ValueError, match="Issuer"):
        read(pki.admin).verify_directly_issued_by(read(pki.etcd_ca))


def test_clients_are_who_the_api_server_takes_them_for(pki: Pki) -> None:
    assert read(pki.admin).subject.rfc4514_string() == "CN=tallystick-admin,O=system:masters"
    assert read(pki.controller_manager).subject.rfc4514_string() == "CN=system:kube-controller-manager"
    usages = read(pki.admin).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_second_start_keeps_every_file(pki: Pki) -> None:
    before = contents(pki)

    again = prepare_pki(pki.folder, now=NOW + timedelta(days=300))

    assert contents(again) == before


def test_certificates_that_end_within_thirty_days_are_renewed_and_the_authorities_are_not(pki: Pki) -> None:
    before = contents(pki)
    later = NOW + timedelta(days=336)

    renewed = changed(before, contents(prepare_pki(pki.folder, now=later)))

    leaves = {"apiserver", "admin", "kube-controller-manager", "etcd-server", "apiserver-etcd-client"}
    assert renewed == {f"{leaf}.{kind}" for leaf in leaves for kind in ("crt", "key")}
    assert read(pki.admin).not_valid_after_utc > later + timedelta(days=300)


@pytest.mark.parametrize("field", [field.name for field in fields(Pki) if field.name != "folder"])
def test_a_key_that_a_crash_parted_from_its_certificate_is_replaced(pki: Pki, field: str) -> None:
    pair: KeyPair = getattr(pki, field)
    other = pki.admin if field != "admin" else pki.api_server
    pair.key.write_bytes(other.key.read_bytes())
    before = contents(pki)

    renewed = changed(before, contents(prepare_pki(pki.folder, now=NOW)))

    assert {pair.certificate.name, pair.key.name} <= renewed


def test_a_new_authority_signs_all_its_certificates_again(pki: Pki) -> None:
    pki.ca.certificate.unlink()

    again = prepare_pki(pki.folder, now=NOW)

    verify_server(again.ca, again.api_server, "localhost")


def test_a_serving_certificate_is_kept_until_its_names_change(pki: Pki, tmp_path: Path) -> None:
    first = issue_serving_certificate(pki, "exchange", now=NOW, folder=tmp_path)
    before = first.certificate.read_bytes()

    kept = issue_serving_certificate(pki, "exchange", now=NOW, folder=tmp_path).certificate.read_bytes()
    renamed = issue_serving_certificate(pki, "exchange", now=NOW, folder=tmp_path, hosts=["exchange.local"])

    assert kept == before
    assert renamed.certificate.read_bytes() != before
    verify_server(pki.ca, renamed, "exchange.local")
    assert renamed.key.stat().st_mode & 0o777 == 0o600


def test_an_exchange_without_a_plane_gets_an_authority_of_its_own(pki: Pki, tmp_path: Path) -> None:
    authority, serving = prepare_serving(tmp_path / "tls", "exchange", now=NOW)

    verify_server(authority, serving, "localhost")
    with pytest.raises(VerificationError):
        verify_server(pki.ca, serving, "localhost")
    assert prepare_serving(tmp_path / "tls", "exchange", now=NOW) == (authority, serving)

"""TLS identities: an authority, and certificates of servers, clients and key managers (SAEs).

Ed25519 keys, X.509 v3. The common name of a client's certificate is its identity; servers are checked by
their subject alternative names.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import RequestError
from qfedfm.core.files import write_atomic

if TYPE_CHECKING:
    import ssl

AUTHORITY = "authority"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Files:
    """Where an identity lies.

    Args:
        certificate: PEM, public.
        key: PEM, readable by its owner alone.
    """

    certificate: Path
    key: Path


def make_authority(folder: Path, days: int = 365) -> Files:
    """Writes a new authority to ``folder``.

    Raises:
        RequestError: There is one already.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ed25519

    files = _files(folder, AUTHORITY)
    if files.key.exists():
        raise RequestError(f"{files.key}: there is an authority already; choose another folder with --out")
    key = ed25519.Ed25519PrivateKey.generate()
    name = _name("qfedfm authority")
    builder = _builder(name, name, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    _write(files, builder.sign(key, None), key)
    return files


def issue(folder: Path, name: str, *, hosts: tuple[str, ...] = (), days: int = 90) -> Files:
    """Writes a certificate of ``name``, signed by the authority in ``folder``.

    Args:
        folder: Where the authority lies and the identity goes.
        name: The identity: letters, digits, ``.``, ``_``, ``-``.
        hosts: Names and addresses of a server; none for a client.
        days: How long it is valid.

    Raises:
        RequestError: A name that is not allowed or taken, or no authority.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if not NAME.fullmatch(name) or name == AUTHORITY:
        raise RequestError(f"the identity {name!r} is not allowed; use letters, digits, '.', '_' and '-'")
    authority, files = _files(folder, AUTHORITY), _files(folder, name)
    if not authority.key.exists():
        raise RequestError(f"{folder}: holds no authority; make one first")
    if files.key.exists():
        raise RequestError(f"{files.key}: there is an identity of that name already")
    issuer = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    signing: Any = serialization.load_pem_private_key(authority.key.read_bytes(), None)
    key = ed25519.Ed25519PrivateKey.generate()
    builder = _builder(_name(name), issuer.subject, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
    )
    if hosts:
        names = [_alternative(host) for host in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    _write(files, builder.sign(signing, None), key)
    return files


def server_context(identity: Files, authority: Path) -> ssl.SSLContext:
    """Returns the TLS context of a server that asks every client for a certificate of ``authority``."""
    import ssl

    return _loaded(_trusting(ssl.Purpose.CLIENT_AUTH, authority), identity)


def client_context(identity: Files, authority: Path) -> ssl.SSLContext:
    """Returns the TLS context of a client that shows ``identity`` and trusts ``authority`` alone."""
    import ssl

    return _loaded(_trusting(ssl.Purpose.SERVER_AUTH, authority), identity)


def _trusting(purpose: ssl.Purpose, authority: Path) -> ssl.SSLContext:
    import ssl

    try:
        return ssl.create_default_context(purpose, cafile=str(authority))
    except (OSError, ssl.SSLError) as error:
        raise RequestError(f"{authority}: cannot be used as a TLS authority ({error})") from error


def _loaded(context: ssl.SSLContext, identity: Files) -> ssl.SSLContext:
    import ssl

    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(str(identity.certificate), str(identity.key))
    except (OSError, ssl.SSLError) as error:
        raise RequestError(f"{identity.certificate}: cannot be used as a TLS identity ({error})") from error
    return context


def common_name(certificate: dict[str, Any]) -> str | None:
    """Returns the common name of ``SSLObject.getpeercert()``, or null."""
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return None


def _files(folder: Path, name: str) -> Files:
    return Files(folder / f"{name}.pem", folder / f"{name}.key")


def _name(text: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: Any, issuer: Any, public: Any, days: int) -> Any:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _write(files: Files, certificate: Any, key: Any) -> None:
    from cryptography.hazmat.primitives import serialization

    files.key.parent.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    handle = os.open(files.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(pem)
    write_atomic(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))

"""A real OpenLDAP server on loopback for tests and benchmarks: TLS with an authority of its own, a campus's schema.

Needs Debian's package slapd, which scripts/test installs where it may.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BASE = "o=princeton university,c=us"
USER, PASSWORD = "svc-kaltura", "not-a-real-password"

_SCHEMA = """
attributetype ( 1.3.6.1.4.1.99999.1.1 NAME 'puresource' DESC 'service=state'
  EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.99999.2.1 NAME 'puPerson' SUP top AUXILIARY MAY puresource )
"""
_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include {folder}/campus.schema
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.pem
sizelimit {size_limit}
security simple_bind=1
{require}
database mdb
suffix "{base}"
directory {folder}/db
maxsize 268435456
dbnosync
index objectClass,uid,puresource eq
access to attrs=userPassword by anonymous auth by * none
{access}
"""


@dataclass(frozen=True)
class Authority:
    """Signs certificates; `pem` is what clients are given to trust."""

    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @classmethod
    def named(cls, name: str) -> Authority:
        return cls(ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))

    @property
    def pem(self) -> bytes:
        certificate = self._certificate(self.name, self.key.public_key(), 1).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        return certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            self.name, subject, key, x509.random_serial_number(), now - timedelta(9), now + timedelta(days)
        )

    def server(self, host: str, *, days: int = 1) -> bytes:
        """Key and certificate of a server called `host` (and of 127.0.0.1), good for so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == "localhost":
            names.append(x509.IPAddress(ip_address("127.0.0.1")))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._certificate(subject, key.public_key(), days).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private + certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def person(uid: str, *, alias: str = "", dn: str = "", state: str = "enabled", **attributes: str | list[str]) -> str:
    """A person as LDIF; `state` is that of their authentication."""
    uids = [uid, alias] if alias else [uid]
    values: dict[str, str | list[str]] = {"uid": uids, "cn": f"Person {uid}", "sn": "Person", **attributes}
    lines = [
        f"dn:: {_base64(dn or f'employeeNumber={uid.encode().hex()},{BASE}')}",
        "objectClass: inetOrgPerson",
        "objectClass: puPerson",
    ]
    lines += [f"puresource: authentication={state}"]
    for name, given in values.items():
        lines += [f"{name}:: {_base64(value)}" for value in ([given] if isinstance(given, str) else given)]
    return "\n".join(lines) + "\n\n"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


class Slapd:
    """One server and its data in `folder`; it may be stopped and started again on the same ports."""

    def __init__(
        self, folder: Path, certificate: bytes, authority: bytes, people: Iterable[str] = (), *,
        size_limit: int = 500, anonymous: bool = False, access: str = "",
    ) -> None:  # fmt: skip
        """`anonymous` lets everybody read; `access` are rules that go before those."""
        os.environ["PATH"] += ":/usr/sbin"
        if shutil.which("slapd") is None:
            raise RuntimeError("slapd is not installed: apt-get install slapd")
        self.folder = folder
        (folder / "db").mkdir(parents=True)
        (folder / "campus.schema").write_text(_SCHEMA)
        (folder / "server.pem").write_bytes(certificate)
        (folder / "ca.pem").write_bytes(authority)
        rules = f"{access}\naccess to * by users read by * {'read' if anonymous else 'none'}"
        config = _CONFIG.format(
            folder=folder, base=BASE, size_limit=size_limit, require="" if anonymous else "require authc",
            access=rules,
        )  # fmt: skip
        (folder / "slapd.conf").write_text(config)
        ldif = folder / "people.ldif"
        with ldif.open("w") as file:
            file.write(f"dn: {BASE}\nobjectClass: organization\no: princeton university\n\n")
            file.write(f"dn: uid={USER},{BASE}\nobjectClass: account\nobjectClass: simpleSecurityObject\n")
            file.write(f"uid: {USER}\nuserPassword: {PASSWORD}\n\n")
            file.writelines(people)
        command = ["slapadd", "-q", "-f", folder / "slapd.conf", "-l", ldif]
        subprocess.run(command, check=True, capture_output=True)
        self.port = self.tls_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Serve; the first time on free ports, then on the same ones."""
        for _ in range(5):
            port, tls_port = (self.port, self.tls_port) if self.port else _free_ports()
            addresses = f"ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/"
            # -d 0 keeps it in the foreground
            self._process = subprocess.Popen(
                ["slapd", "-d", "0", "-f", self.folder / "slapd.conf", "-h", addresses], stderr=subprocess.DEVNULL
            )
            while self._process.poll() is None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", tls_port), 1):
                    self.port, self.tls_port = port, tls_port
                    return
                time.sleep(0.005)
        raise RuntimeError("slapd did not start")

    def stop(self) -> None:
        """End it at once, as a crash does; nobody is told."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def environ(self) -> Mapping[str, str]:
        """The settings of kaltura-archiver to use it."""
        return {
            "LDAP_SERVER": "localhost",
            "LDAP_PORT": str(self.tls_port),
            "LDAP_CA_FILE": str(self.folder / "ca.pem"),
            "LDAP_USER": USER,
            "LDAP_PWD": PASSWORD,
        }

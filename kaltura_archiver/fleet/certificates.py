"""The TLS of a fleet: one authority and one certificate, made for it, that all its members show one another."""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kaltura_archiver.errors import ConfigError
from kaltura_archiver.output.files import failure, write

NAMES = ("ca.pem", "cert.pem", "key.pem")
_SALT_BYTES = 16


@dataclass(frozen=True)
class Certificates:
    """PEM texts. Whoever has the key can have the fleet run any code, so it is as secret as the fleet's credentials."""

    ca: str
    cert: str
    key: str = field(repr=False)

    @classmethod
    def make(cls, days: float) -> Certificates:
        """New ones, good for so many days. The authority's own key is thrown away: it signs this one certificate."""
        now = datetime.now(UTC)
        authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kaltura-archiver fleet authority")])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kaltura-archiver fleet")])

        def signed(name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> str:
            builder = (
                x509.CertificateBuilder()
                .subject_name(name)
                .issuer_name(issuer)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                # The clocks of the machines may differ.
                .not_valid_before(now - timedelta(hours=1))
                .not_valid_after(now + timedelta(days=days))
            )
            for extension in extensions:
                builder = builder.add_extension(extension, critical=True)
            made = builder.sign(authority, hashes.SHA256())
            return made.public_bytes(serialization.Encoding.PEM).decode()

        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        key = own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(
            signed(issuer, authority, x509.BasicConstraints(ca=True, path_length=0)),
            signed(subject, own, x509.BasicConstraints(ca=False, path_length=None), both),
            key.decode(),
        )

    def write(self, folder: Path) -> None:
        """Put them into a folder, for its owner's eyes only. Raises ConfigError where there are some already,
        OutputError where they cannot be written."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if there := next((folder / name for name in NAMES if os.path.lexists(folder / name)), None):
                raise ConfigError(f"{there} exists: remove it, or name another folder")
            for name, text in zip(NAMES, (self.ca, self.cert, self.key), strict=True):
                write(folder / name, text.encode(), replace=False)
        except OSError as error:
            raise failure(folder, error) from error

    @classmethod
    def read(cls, folder: Path) -> Certificates:
        """Those of a folder; ConfigError for files that are missing, do not fit together, or have expired."""
        texts = []
        for name in NAMES:
            try:
                texts.append((folder / name).read_text(encoding="ascii"))
            except OSError as error:
                raise ConfigError(
                    f"cannot read {folder / name}: {error.strerror}; a fleet needs TLS: see cluster certificates --help"
                ) from error
            except ValueError as error:
                raise ConfigError(f"{folder / name} is no PEM file") from error
        try:
            context = ssl.create_default_context(cadata=texts[0])
            context.load_cert_chain(folder / NAMES[1], folder / NAMES[2])
            ends = x509.load_pem_x509_certificate(texts[1].encode()).not_valid_after_utc
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"the files {', '.join(NAMES)} in {folder} are no certificates that fit") from error
        if ends <= datetime.now(UTC):
            raise ConfigError(f"the certificate in {folder} has expired on {ends:%Y-%m-%d}: make new ones")
        return cls(*texts)

    def seal(self, secret: str) -> str:
        """A text that gives them back only to who knows the secret: for a task's command, which others may see."""
        salt = os.urandom(_SALT_BYTES)
        sealed = _cipher(secret, salt).encrypt("\0".join((self.ca, self.cert, self.key)).encode())
        return base64.urlsafe_b64encode(salt).decode() + sealed.decode()

    @classmethod
    def opened(cls, text: str, secret: str) -> Certificates:
        """What was sealed; ConfigError for another secret or a damaged text."""
        size = 4 * -(-_SALT_BYTES // 3)
        try:
            salt = base64.urlsafe_b64decode(text[:size])
            return cls(*_cipher(secret, salt).decrypt(text[size:].encode()).decode().split("\0"))
        except (InvalidToken, ValueError, TypeError) as error:
            raise ConfigError(
                "the ticket does not open: the run that started this worker must use the same app token or admin secret"
            ) from error


def _cipher(secret: str, salt: bytes) -> Fernet:
    key = HKDF(hashes.SHA256(), 32, salt, b"kaltura-archiver fleet").derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(key))

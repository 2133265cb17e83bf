"""Certificates for tests: an authority, and files of what it has signed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import trustme

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


class Pair(NamedTuple):
    """PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; ca is its own, as a file."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def issue(self, file: str, identity: str = "127.0.0.1", expired: bool = False) -> Pair:
        """Writes FILE.pem and FILE.key, over those that are there."""
        issued = self._ca.issue_cert(identity, not_after=YESTERDAY if expired else None)
        pair = Pair(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        pair.key.write_bytes(issued.private_key_pem.bytes())
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return pair

"""TLS for the HTTP port, by the same files as gRPC's."""

import ssl
from typing import Any

from tianzi_service.rpc.files import Followed
from tianzi_service.rpc.tls import require_fitting
from tianzi_service.settings import Settings


def context(settings: Settings) -> ssl.SSLContext | None:
    """The context that the settings ask for; None where they ask for plain text. Files are followed, as gRPC's are.

    Raises:
        OSError: a file cannot be read, or the files do not fit together.
    """
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is None or key is None:
        return None

    def read() -> ssl.SSLContext:
        require_fitting(certificate, key, client_ca)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.set_alpn_protocols(["http/1.1"])
        made.load_cert_chain(certificate, key, password="")
        if client_ca is not None:
            made.load_verify_locations(client_ca)
            made.verify_mode = ssl.CERT_REQUIRED
        return made

    files = Followed([path for path in (certificate, key, client_ca) if path], read)
    first = files.value

    def renew(connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        files.renew()
        connection.context = files.value

    first.sni_callback = renew  # called in every handshake, whether or not the client names a server
    return first

"""TLS for the server's port, with certificates that may be renewed while it serves."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import grpc

from tianzi_service.rpc.files import Followed
from tianzi_service.settings import Settings


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """The credentials that the settings ask for; None where they ask for plain text.

    The files are looked at before each handshake. Renewed ones serve the connections from then on; those that do not
    fit together are logged, and the old ones kept.

    Raises:
        OSError: a file cannot be read, or the files do not fit together; the message says which and why.
    """
    certificate, key, client_ca = settings.tls_certificate, settings.tls_key, settings.tls_client_ca
    if certificate is None or key is None:
        return None

    def read() -> grpc.ServerCertificateConfiguration:
        require_fitting(certificate, key, client_ca)
        roots = client_ca.read_bytes() if client_ca else None
        pair = (key.read_bytes(), certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    files = Followed([path for path in (certificate, key, client_ca) if path], read)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        return files.value if files.renew() else None

    # None, which the types do not foresee, is for no change.
    fetch = cast(Callable[[], grpc.ServerCertificateConfiguration], renewed)
    return grpc.dynamic_ssl_server_credentials(files.value, fetch, require_client_authentication=client_ca is not None)


def require_fitting(certificate: Path, key: Path, client_ca: Path | None) -> None:
    """Raises OSError where the files do not fit together: gRPC would take anything, and then fail every handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for path in filter(None, (certificate, key, client_ca)):
        path.read_bytes()  # its OSError names the file; ssl's does not
    try:
        context.load_cert_chain(certificate, key, password="")  # empty, lest it ask on the terminal
    except (ssl.SSLError, ValueError) as error:
        raise OSError(f"{certificate} and {key}: no PEM certificate with its unencrypted key: {error}") from None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise OSError(f"{client_ca}: no PEM certificates: {error}") from None

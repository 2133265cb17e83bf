"""gRPC's own part of a server: what it is told, and how its threads behave."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc

from tianzi_service.scheduling.thread_priority import has_one_core
from tianzi_service.settings import Settings

PING_S = 5.0
"""How often a client may ping a connection on which nothing else moves; one that does so more often is cut off."""


def grpc_server(
    settings: Settings, shares_port: bool, interceptors: Sequence[grpc.aio.ServerInterceptor]
) -> grpc.aio.Server:
    """A server without services, not started. Call it in a running event loop."""
    with _patient_threads():
        return grpc.aio.server(interceptors=interceptors, options=channel_options(settings, shares_port))


def channel_options(settings: Settings, shares_port: bool) -> list[tuple[str, int]]:
    """What gRPC itself is to keep to."""
    size = settings.max_message_bytes
    options = [
        ("grpc.max_receive_message_length", size),
        ("grpc.max_send_message_length", size),
        # Balancers and clients that ping each 10 to 60 s are told to; gRPC's own policy is one ping in five minutes.
        ("grpc.http2.min_ping_interval_without_data_ms", round(1000 * PING_S)),
        ("grpc.keepalive_permit_without_calls", 1),
        # Unless wanted so: a second server on the port would take half of the calls unnoticed.
        ("grpc.so_reuseport", int(shares_port)),
    ]
    if settings.connection_age_s:
        options.append(("grpc.max_connection_age_ms", max(1, round(1000 * settings.connection_age_s))))
    return options


@contextmanager
def _patient_threads() -> Iterator[None]:
    """Where the process has one core, threads that are started meanwhile interrupt no other when they have work.

    For those of gRPC that take in calls. If each call interrupts the event loop and the model, both come back to caches
    that it has used; so calls wait until one of them rests, and come in together. With more cores they need not.
    """
    # Who chose another policy keeps it.
    if not has_one_core() or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

"""Who holds a port that we need."""

from __future__ import annotations

import errno
import socket

import psutil

from recsys.errors import PortTaken
from recsys.services.definitions import Service
from recsys.services.health import HOST

_COMMAND_SHOWN = 120


def require_free(service: Service) -> None:
    """Refuse to start a service whose port another process holds.

    Raises
    ------
    PortTaken
        Names the port, its holder and the setting that moves it.
    """
    for setting, port in service.ports.items():
        if not _is_free(port):
            raise PortTaken(
                f"port {port} on {HOST}, which {service.name} needs, is held by {holder(port)}."
                f" Stop that process, or set {setting} to a free port."
            )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a connection that lingers from before does not hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise PortTaken(f"port {port} cannot be used: {error.strerror}") from error
    return True


def holder(port: int) -> str:
    """The process that listens on a port: number, name and command."""
    for connection in psutil.net_connections(kind="inet"):
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port:
            if connection.pid is None:
                break
            try:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline())[:_COMMAND_SHOWN]
                return f"process {process.pid} ({process.name()}: {command})"
            except psutil.Error:
                return f"process {connection.pid}"
    return "a process that this user may not see"

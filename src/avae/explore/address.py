"""Where the page is served: checks that need no PyTorch."""

import socket

from avae.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach an address."""
    return host in LOOPBACK


def require_address(host: str, port: int | None) -> None:
    """Raise UserError if this machine cannot listen at an address, or if the port is taken there."""
    if not can_listen(host, 0):
        raise UserError(f"--host {host}: this machine has no such address; choose 127.0.0.1 or 0.0.0.0")
    if port is not None and not can_listen(host, port):
        raise UserError(
            f"--port {port} is taken on {host}: choose another, or leave --port out for a free one"
        )


def can_listen(host: str, port: int) -> bool:
    """Return True if this machine has an address, and a port is free there; any is for 0."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError:
            return False
    return True

"""Whether there is a Ray cluster at an address. Ray itself tries for minutes, or ends the program."""

from __future__ import annotations

import contextlib
import re
import socket

from toolkit.errors import UsageError

SECONDS = 5.0
"""How long a machine may take to answer."""

_HINT = "Hint: begin one with `ray start --head`, and give the address that it prints, or write --ray local"
# The beginning of HTTP/2, which Ray speaks, with empty settings; servers answer with theirs.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS = 4


def check_cluster(address: str) -> None:
    """Find out within seconds whether something like a cluster is there.

    Args:
        address: host and port, such as ``head:6379`` or ``[::1]:6379``, or ``auto``, which is not checked.

    Raises:
        UsageError: when it is not an address, nothing answers, or something that is not Ray does.
    """
    if address == "auto":
        return
    if address.startswith("ray://"):
        raise UsageError(
            f"{address} is the address of Ray's client, which cannot be used here. Hint: run this command on"
            " a machine of the cluster, such as one that `ray start --address=HEAD:6379` makes part of it,"
            " with --ray auto"
        )
    match = re.fullmatch(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})", address)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise UsageError(f"{address!r} is not the address of a cluster, such as head:6379. {_HINT}")
    try:
        answer = _answer(match["host"].strip("[]"), int(match["port"]))
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise UsageError(f"there is no Ray cluster at {address}: {reason}. {_HINT}") from None
    if len(answer) < 4 or answer[3] != _SETTINGS:
        raise UsageError(f"there is no Ray cluster at {address}: something else answers there. {_HINT}")


def _answer(host: str, port: int) -> bytes:
    """The first bytes of the answer to a greeting; fewer than 9 from what does not understand it."""
    found = b""
    with socket.create_connection((host, port), SECONDS) as connection:
        connection.sendall(_HELLO)
        with contextlib.suppress(OSError):
            while len(found) < 9 and (more := connection.recv(64)):
                found += more
    return found

"""An address without a cluster is known within seconds, whatever is there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from toolkit.cluster import reaching
from toolkit.cluster.reaching import check_cluster
from toolkit.errors import UsageError

Serve = Callable[[bytes | None], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Begins a server that answers with these bytes, or with None says nothing; returns its address."""
    servers: list[socket.socket] = []
    held: list[socket.socket] = []

    def begin(answer: bytes | None) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def work() -> None:
            connection, _ = server.accept()
            held.append(connection)
            connection.recv(1024)
            if answer is not None:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)

        threading.Thread(target=work, daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield begin
    for each in [*servers, *held]:
        each.close()


def test_what_speaks_http2_may_be_a_cluster(serve: Serve) -> None:
    check_cluster(serve(bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)) + bytes(6)))
    check_cluster("auto")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH", None])
def test_something_else(serve: Serve, answer: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "SECONDS", 0.3)
    with pytest.raises(UsageError, match=r"something else answers there\. Hint: begin one with `ray start"):
        check_cluster(serve(answer))


def test_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(UsageError, match=f"no Ray cluster at {address}: Connection refused. Hint"):
        check_cluster(address)


def test_a_machine_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*args: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(UsageError, match="no Ray cluster at head:6379: no answer. Hint"):
        check_cluster("head:6379")


@pytest.mark.parametrize(
    "address", ["", "head", "head:", "head:0", "head:70000", "a b:1", "http://a:1", ":1"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a cluster, such as head:6379"):
        check_cluster(address)


def test_the_client_of_ray() -> None:
    with pytest.raises(
        UsageError, match=r"Ray's client, .* Hint: run this command on a machine of the cluster"
    ):
        check_cluster("ray://head:10001")

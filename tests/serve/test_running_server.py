"""A server that listens on a port: clients that are slow, many, or gone."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from serve_cases import Bright, photos, with_limits

from toolkit import Prediction, Predictor, Sample
from toolkit.errors import UsageError
from toolkit.serve.options import ServeOptions
from toolkit.serve.running import RunningServer, new_token


class Waiting(Bright):
    """Predicts when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        found = super().predict(samples)
        assert self.go.wait(20)
        return found


@pytest.fixture
def model() -> Waiting:
    return Waiting()


@pytest.fixture
def server(tmp_path: Path, model: Waiting, no_proxy: None) -> Iterator[RunningServer]:
    photos(tmp_path / "photos")
    limits = with_limits(body_seconds=0.5, queue=12, batch_size=4)
    running = RunningServer(ServeOptions((), images=tmp_path / "photos", port=0, limits=limits))
    running.services.models.add(Predictor(model, device="cpu"), "waiting")
    thread = threading.Thread(target=running.run)
    thread.start()
    eventually(lambda: answers(running))
    yield running
    model.go.set()
    running.stop()
    thread.join(20)
    assert not thread.is_alive()


def answers(running: RunningServer) -> bool:
    try:
        return httpx.get(f"{running.address}health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def connected(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.options.port), timeout=20)


def head(length: int, extra: str = "") -> bytes:
    lines = ["POST /api/predict HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return ("\r\n".join([*lines, f"Content-Length: {length}{extra}"]) + "\r\n\r\n").encode()


BODY = b'{"name": "00.png"}'


def test_a_slow_body_is_given_up(server: RunningServer) -> None:
    with connected(server) as client:
        client.sendall(head(1000) + b'{"na')
        answer = client.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within 0.5 seconds" in answer + client.recv(1 << 16)
    assert answers(server)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_header_that_does_not_end_is_given_up(server: RunningServer, is_first: bool) -> None:
    """Of the first request of a connection, or of a later one."""
    with connected(server) as client:
        if not is_first:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in client.recv(1 << 16)
        start = time.monotonic()
        client.sendall(b"GET /health HTTP/1.1\r\n")
        client.settimeout(0.1)
        while time.monotonic() - start < 10:
            try:
                client.sendall(b"X-More: 1\r\n")
                if not client.recv(1 << 16):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 0.3 < time.monotonic() - start < 5


def test_a_connection_may_rest_between_requests(server: RunningServer) -> None:
    with httpx.Client() as client:
        for _ in range(2):
            assert client.get(f"{server.address}health").status_code == 200
            time.sleep(0.7)
        assert client.get(f"{server.address}health").status_code == 200


def test_what_is_not_http_is_refused(server: RunningServer) -> None:
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ):
        with connected(server) as client:
            client.sendall(junk)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 4")
    assert answers(server)


def test_who_has_gone_costs_nothing(server: RunningServer, model: Waiting) -> None:
    worker = server.services.models.get("waiting").worker
    clients = [connected(server) for _ in range(9)]
    for client in clients:
        client.sendall(head(len(BODY)) + BODY)
    # the first image or images are being predicted, and the others wait
    eventually(lambda: sum(model.batches) + worker.waiting == 9)
    begun = sum(model.batches)
    assert begun <= 4
    for client in clients:
        client.close()
    eventually(lambda: worker.waiting == 0)
    model.go.set()
    assert httpx.post(f"{server.address}api/predict", json={"name": "01.png"}).status_code == 200
    assert sum(model.batches) == begun + 1, "those who have gone were not predicted"
    eventually(lambda: server.services.pixels == 0)


def test_too_many_requests_are_told_to_come_back_and_no_other_fails(
    server: RunningServer, model: Waiting
) -> None:
    def ask(place: int) -> httpx.Response:
        name = f"{place % 6:02}.png"
        return httpx.post(f"{server.address}api/predict", json={"name": name}, timeout=30)

    with ThreadPoolExecutor(24) as pool:
        futures = [pool.submit(ask, place) for place in range(24)]
        eventually(lambda: sum(future.done() for future in futures) >= 24 - 16)
        model.go.set()
        found = [future.result() for future in futures]
    refused = [answer for answer in found if answer.status_code == 503]
    assert {answer.status_code for answer in found} == {200, 503}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert 8 <= len(refused) <= 11, "12 wait, and 1 to 4 are predicted"
    assert max(model.batches) == 4, "batches form by themselves"


def test_a_port_that_is_taken(server: RunningServer) -> None:
    with pytest.raises(UsageError, match=r"cannot listen on 127.0.0.1:\d+.*Hint: choose another --port"):
        RunningServer(ServeOptions((), port=server.options.port))


def test_a_second_server_does_not_write_to_the_same_labels(server: RunningServer, tmp_path: Path) -> None:
    other = RunningServer(ServeOptions((), images=tmp_path / "photos", port=0))
    with pytest.raises(UsageError, match="another process is writing"):
        other.run()


def test_addresses_have_the_token_where_one_is_needed() -> None:
    assert new_token("localhost") == ""
    assert len(new_token("0.0.0.0")) > 20
    assert new_token("0.0.0.0") != new_token("0.0.0.0")
    running = RunningServer(ServeOptions((), port=0, token="abc"))
    running.socket.close()
    assert running.address == f"http://127.0.0.1:{running.options.port}/?token=abc"


def test_log_files_of_the_process_stay_open(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "own.log")
    stream = handler.stream
    running = RunningServer(ServeOptions((), port=0))
    running.socket.close()
    try:
        assert not stream.closed, "uvicorn's way of setting up logs closes all handlers"
    finally:
        handler.close()

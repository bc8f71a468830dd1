"""How routes wait for models: not for clients that have gone, and not for ever."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest
from serve_cases import services_for, with_limits
from starlette.requests import ClientDisconnect

from toolkit.serve.errors import RequestError


class Client:
    """A request whose client stays, or goes at once."""

    def __init__(self, *, stays: bool) -> None:
        self.stays = stays

    async def receive(self) -> dict[str, str]:
        if self.stays:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}


def waited(future: Future[Any], *, stays: bool, seconds: float = 5.0, then: Any = None) -> Any:
    services = services_for(limits=with_limits(request_seconds=seconds))

    async def run() -> Any:
        if then is not None:
            asyncio.get_running_loop().call_later(0.02, then)
        client: Any = Client(stays=stays)
        return await services.wait(client, future)

    return asyncio.run(run())


def test_a_result_and_an_error_arrive() -> None:
    future: Future[int] = Future()
    assert waited(future, stays=True, then=lambda: future.set_result(7)) == 7
    failed: Future[int] = Future()
    with pytest.raises(ValueError, match="odd"):
        waited(failed, stays=True, then=lambda: failed.set_exception(ValueError("odd")))


def test_a_job_whose_client_has_gone_is_canceled() -> None:
    future: Future[int] = Future()
    with pytest.raises(ClientDisconnect):
        waited(future, stays=False)
    assert future.cancelled()


def test_what_has_begun_goes_on_but_nobody_waits() -> None:
    future: Future[int] = Future()
    assert future.set_running_or_notify_cancel()
    with pytest.raises(ClientDisconnect):
        waited(future, stays=False)
    future.set_result(1)


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    future: Future[int] = Future()
    with pytest.raises(RequestError, match=r"no answer within 0.05 seconds") as caught:
        waited(future, stays=True, seconds=0.05)
    assert caught.value.status_code == 503
    assert future.cancelled()


def test_a_server_that_stops_says_so() -> None:
    future: Future[int] = Future()
    with pytest.raises(RequestError, match="stopping"):
        waited(future, stays=True, then=future.cancel)


def test_images_in_memory_are_bounded_but_one_is_let_in() -> None:
    services = services_for(limits=with_limits(pixels_at_once=100))

    async def run() -> None:
        async with services.holding(1000):
            with pytest.raises(RequestError, match="memory"):
                async with services.holding(1):
                    pass
        async with services.holding(60), services.holding(40):
            with pytest.raises(RequestError) as caught:
                async with services.holding(1):
                    pass
            assert caught.value.status_code == 503
        assert services.pixels == 0

    asyncio.run(run())

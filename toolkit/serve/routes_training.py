"""``/api/training``: fine-tuning on the labels."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from toolkit.serve.errors import RequestError
from toolkit.serve.schemas import TrainingBody
from toolkit.serve.services import Services, Using
from toolkit.serve.training import Trainer

router = APIRouter(prefix="/api/training", tags=["training"])


@router.post("", status_code=202)
async def start(services: Using, body: TrainingBody) -> dict[str, Any]:
    """Start to fine-tune a served run on the labels, in a process of its own."""
    model = services.models.listed(body.model)
    return await services.run(_trainer(services).start, model, body.name, body.settings)


@router.get("")
async def state(services: Using) -> dict[str, Any]:
    """How far the training is; the new run is served beside the old one when it is `done`."""
    if services.trainer is None:
        return {"state": "idle"}
    return await services.run(services.trainer.state)


@router.post("/stop")
async def stop(services: Using) -> dict[str, Any]:
    """Stop the training; it saves its state, from which `toolkit train --resume` continues."""
    trainer = _trainer(services)
    await services.run(trainer.stop)
    return await services.run(trainer.state)


def _trainer(services: Services) -> Trainer:
    if services.trainer is None:
        raise RequestError(404, "there are no labels to train on. Hint: start the server with --images DIR")
    return services.trainer

"""``/api/models`` and ``/api/predict``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from toolkit.inference.image_prediction import ImagePrediction
from toolkit.serve.predictions import Format, as_json, as_overlay, as_png
from toolkit.serve.schemas import PredictBody
from toolkit.serve.services import Using
from toolkit.serve.uploads import asked, upload_of

router = APIRouter(prefix="/api", tags=["models"])


@router.get("/models")
async def models(services: Using) -> list[dict[str, Any]]:
    """The models that are served. `draw_above` is the usual minimum score of objects."""
    return services.models.about()


@router.post("/predict", openapi_extra=upload_of(PredictBody))
async def predict(request: Request, services: Using, format: Format = "json") -> Response:
    """Predict an image of the folder (JSON with `model`, `name` and `score_threshold`), or one that is sent
    as the field `image` of a form.

    `format` is `json` (objects with run lengths, label maps as PNG in base64), `polygons` (with polygons
    instead of run lengths: for each part its outline, then its holes), `png` (the label map, or the numbers
    of objects in 16 bits), or `overlay` (a picture).
    """
    given = await asked(request, PredictBody)
    above = given.fields["score_threshold"]
    async with services.using(given.fields["model"]) as model:
        sample = await services.run(given.sample, services, model.predictor.scale)
        async with services.holding(sample.size[0] * sample.size[1]):
            found = await services.wait(request, model.worker.submit(sample))
            return await services.run(_answered, found, format, above)


def _answered(found: ImagePrediction, format: Format, above: float | None) -> Response:
    if format == "png":
        return Response(as_png(found, above), media_type="image/png")
    if format == "overlay":
        return Response(as_overlay(found, above), media_type="image/jpeg")
    return JSONResponse(as_json(found, above, polygons=format == "polygons"))

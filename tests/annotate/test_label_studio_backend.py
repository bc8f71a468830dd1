"""The backend without its server: what it remembers of projects."""

from __future__ import annotations

import pytest
from support.annotated import predictor

from toolkit.annotate.label_studio import MOST_PROJECTS, LabelStudioBackend
from toolkit.annotate.label_studio_images import ImageSource
from toolkit.errors import InvalidDataError

CONFIG = '<View><Image name="i" value="$image"/></View>'


def test_the_last_projects_are_remembered() -> None:
    backend = LabelStudioBackend(predictor("masks"), ImageSource())
    for number in range(MOST_PROJECTS + 1):
        backend.setup({"project": f"{number}.1", "schema": CONFIG})
    assert backend.predict({"project": "1.1", "tasks": []}) == {"results": [], "model_version": "masks model"}
    with pytest.raises(InvalidDataError, match=r"project '0.1' is not known"):
        backend.predict({"project": "0.1", "tasks": []})


def test_a_setup_without_a_configuration() -> None:
    backend = LabelStudioBackend(predictor("masks"), ImageSource())
    assert backend.setup({"project": "1.1", "schema": ""}) == {"model_version": "masks model"}

"""What a labeling configuration says about the tags that annotations come from."""

from __future__ import annotations

import pytest

from toolkit.errors import DataError
from toolkit.formats.label_config import ControlTag, parse_config
from toolkit.formats.tool_writers import config_text

CONFIG = """<View>
  <Style>.a {}</Style>
  <Header value="Cats and dogs"/>
  <Image name="img" value="$photo" zoom="true"/>
  <View><KeyPointLabels name="kp" toName="img" smart="true"><Label value="Cat"/></KeyPointLabels></View>
  <BrushLabels name="tag" toName="img"><Label value=" Dog "/><Label value="Cat"/></BrushLabels>
  <Rectangle name="box" toName="img" smartOnly="true"/>
  <Labels name="labels" toName="img"><Label value="long name" alias="bird"/><Label value="Cat"/></Labels>
  <Choices name="choice" toName="img"><Choice value="good"/></Choices>
  <TextArea name="text" toName="img"/>
</View>"""


def test_tags_and_labels() -> None:
    config = parse_config(CONFIG, "the project")
    assert config.images == {"img": "photo"}
    assert config.controls == (
        ControlTag("kp", "img", "keypointlabels", ("Cat",), is_smart=True),
        ControlTag("tag", "img", "brushlabels", ("Dog", "Cat")),
        ControlTag("box", "img", "rectangle", (), is_smart=True),
        ControlTag("labels", "img", "labels", ("bird", "Cat")),
        ControlTag("choice", "img", "choices", ("good",)),
    )
    assert config.labels == ("Cat", "Dog", "bird")
    assert [tag.name for tag in config.controls_of(("rectangle", "brushlabels"))] == ["tag", "box"]


def test_tags_of_something_else_than_an_image() -> None:
    config = parse_config('<View><Text name="t" value="$t"/><Labels name="l" toName="t"/></View>', "x")
    assert config.images == {}
    assert config.controls_of(("labels",)) == []


def test_what_the_conversion_writes() -> None:
    names = ("cat", 'a "dog" & <more>')
    config = parse_config(config_text(names), "x")
    assert config.labels == names
    assert config.images == {"image": "image"}
    assert [tag.kind for tag in config.controls] == ["brushlabels", "polygonlabels", "rectanglelabels"]


@pytest.mark.parametrize("text", ["<View>", "", '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>'])
def test_what_is_no_configuration(text: str) -> None:
    with pytest.raises(DataError, match="labeling configuration of Label Studio"):
        parse_config(text, "the project")

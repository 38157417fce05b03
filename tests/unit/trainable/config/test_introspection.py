"""Looking up which types and names a model allows at a key."""

from collections.abc import Mapping
from typing import Annotated, Literal

import pytest

from trainable.config.introspection import (
    TAG_MARK,
    accepts_name,
    fields_of,
    is_chosen_by_name,
    kind_of_name,
    names_of,
    options,
    types_at,
)
from trainable.config.schema import ByName, Items, Section


class Square(Section):
    name: Literal["square"]
    side: float


class Round(Section):
    name: Literal["circle", "disc"]
    center: Items[int] = (0, 0)


class Own(Section):
    open_names = r"\w+:\w+"
    name: str
    args: Mapping[str, int] = {}


Shape = Annotated[Square | Round, ByName("shape")]
AnyShape = Annotated[Square | Round | Own, ByName("shape", default="square")]


class Drawing(Section):
    background: Shape | None = None
    shapes: Mapping[str, Shape] = {}
    layers: Items[Shape] = ()
    frame: AnyShape = Square(name="square", side=1.0)


def test_the_names_of_a_section_are_those_of_its_literal():
    assert names_of(Round) == ("circle", "disc")
    assert names_of(Drawing) == names_of(int) == ()


def test_annotations_and_unions_are_unwrapped():
    assert options(Drawing.model_fields["background"].annotation) == [Square, Round, type(None)]
    assert options(int) == [int]


@pytest.mark.parametrize(
    ("trail", "types"),
    [
        ((), [Drawing]),
        (("background",), [Square, Round, type(None)]),
        (("background", f"{TAG_MARK}shape{TAG_MARK}disc"), [Round]),
        (("shapes", "any key"), [Square, Round]),
        (("layers", 3), [Square, Round]),
        (("layers", 3, "side"), [float]),
        (("layers", 3, f"{TAG_MARK}shape{TAG_MARK}disc", "side"), []),
        (("layers", 3, "center", 0), [int]),
        (("frame", f"{TAG_MARK}shape{TAG_MARK}my:shape", "args", "x"), [int]),
        (("no such key",), []),
    ],
)
def test_types_are_found_below_keys_positions_and_chosen_names(trail, types):
    assert types_at(Drawing, trail) == types


def test_only_sections_have_fields():
    assert list(fields_of(Round)) == ["name", "center"]
    assert list(fields_of(int)) == []


def test_a_kind_is_found_by_a_fixed_or_an_open_name():
    kinds = options(AnyShape)
    assert [kind_of_name(kinds, name) for name in ("disc", "my:shape", "my", None, ["x"])] == [
        Round,
        Own,
        None,
        None,
        None,
    ]
    assert accepts_name(Own, "a:b")
    assert not accepts_name(Own, "a:b!")
    assert [is_chosen_by_name(kind) for kind in (Square, Own, Drawing, int)] == [
        True,
        True,
        False,
        False,
    ]

"""The schema layer, on a schema of its own: accepted values, and the text of every error."""

import textwrap
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator

from trainable.config.schema import ByName, Items, Section, validate
from trainable.config.yaml_reader import Document, parse_yaml
from trainable.errors import ConfigError


class Uniform(Section):
    name: Literal["uniform"]
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "Uniform":
        if self.low >= self.high:
            raise ValueError(f"low must be below high ({self.high}), found {self.low}")
        return self


class Choice(Section):
    name: Literal["choice", "grid"] = "choice"
    values: Items[Any] = Field(min_length=1)


class Range(Section):
    name: Literal["range"]
    steps: Items[PositiveInt] = Field(default=(1, 2), min_length=2, max_length=2)


Distribution = Annotated[Uniform | Choice | Range, ByName("distribution", default="choice")]


class Plain(Section):
    name: Literal["plain"]


class Limits(Section):
    max_trials: Literal["auto"] | PositiveInt = "auto"
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    strict: bool = False
    label: str = "x"
    kept: Literal["all", "best"] = "all"


class Search(Section):
    space: dict[str, Distribution] = {}
    needed: Annotated[Plain | Range, ByName("needed")]
    several: Items[Distribution] = ()
    nested: dict[str, dict[str, PositiveInt]] = {}
    base: str | dict[str, Any] = ""
    limits: Limits = Limits()
    count: int = 1

    @field_validator("nested")
    @classmethod
    def _not_huge(cls, nested: dict[str, Any]) -> dict[str, Any]:
        if len(nested) > 2:
            raise ValueError("must have at most 2 keys")
        return nested

    @model_validator(mode="after")
    def _agree(self) -> "Search":
        for key in self.space:
            if key == "a.b":
                raise ValueError("space.a.b must not be searched")
        if self.count == 13:
            raise ValueError("count: must not be 13")
        if self.count == 14:
            raise ValueError("whatever is wrong")
        return self


def check(text: str) -> Search:
    return validate(Search, parse_yaml(textwrap.dedent(text), "s.yaml"))


def problems(text: str) -> list[str]:
    """Returns the problems of a document that has its one required key."""
    with pytest.raises(ConfigError) as raised:
        check("needed: {name: plain}\n" + textwrap.dedent(text))
    return str(raised.value).removeprefix("s.yaml: ").splitlines()[1:]


def problem(text: str) -> str:
    [line] = problems(text)
    return line.strip().removeprefix("line 2: ")


# ---------------------------------------------------------------------------- accepted


def test_sections_are_chosen_by_name_wherever_they_stand():
    search = check("""\
        space:
          a: {name: uniform, low: 1, high: 2.5}
          b: {name: grid, values: [1, x]}
          c: {values: [true]}
        needed: {name: range}
        several: [{name: range, steps: [3, 4]}]
        """)
    assert search.space == {
        "a": Uniform(name="uniform", low=1.0, high=2.5),
        "b": Choice(name="grid", values=(1, "x")),
        "c": Choice(name="choice", values=(True,)),
    }
    assert search.needed == Range(name="range", steps=(1, 2))
    assert search.several == (Range(name="range", steps=(3, 4)),)


def test_instances_are_accepted_where_mappings_are():
    plain = Plain(name="plain")
    data = {"needed": plain, "space": {"a": Range(name="range")}, "limits": Limits(strict=True)}
    search = validate(Search, Document(data, {}, "code"))
    assert search.needed is plain
    assert search.limits.strict


def test_an_integer_is_accepted_as_a_number():
    low = Uniform(name="uniform", low=1, high=2).low
    assert low == 1.0
    assert type(low) is float


def test_a_section_is_immutable():
    choice = Choice(values=[1, 2])
    with pytest.raises(ValidationError, match="frozen"):
        choice.values = (3,)
    assert choice.values == (1, 2)
    assert hash(choice) == hash(Choice(values=(1, 2)))


def test_a_union_dumps_to_plain_values_that_validate_again():
    search = check("needed: {name: plain}\nspace: {a: {values: [1]}}")
    plain = search.model_dump(mode="json")
    assert plain["space"] == {"a": {"name": "choice", "values": [1]}}
    assert validate(Search, Document(plain, {}, "again")) == search


# ---------------------------------------------------------------------------- refused


def test_every_problem_is_reported_at_once_in_file_order():
    with pytest.raises(ConfigError) as raised:
        check("""\
            several:
              - {name: range, steps: [1, 0]}
              - name: uniform
                low: true
                hihg: 2
            limits:
              strict: 1
            count: "3"
            needed: {}
            cuont: 4
            """)
    assert str(raised.value).splitlines() == [
        "s.yaml: 8 problems",
        "  line 2: several[0].steps[1]: must be > 0, found 0",
        "  line 3: several[1].high: required key is missing",
        "  line 4: several[1].low: must be a number, found true (boolean)",
        '  line 5: several[1].hihg: unknown key; did you mean "high"? (known: high, low, name)',
        "  line 7: limits.strict: must be true or false, found 1 (integer)",
        '  line 8: count: must be an integer, found "3" (text; remove the quotes)',
        "  line 9: needed.name: required key is missing (known: plain, range)",
        '  line 10: cuont: unknown key; did you mean "count"? '
        "(known: base, count, limits, needed, nested, several, space)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # types
        ("count: '020'", 'count: must be an integer, found "020" (text)'),
        ("count: 2.0", "count: must be an integer, found 2.0 (number)"),
        ("count: true", "count: must be an integer, found true (boolean)"),
        ("count: [1]", "count: must be an integer, found a list"),
        ("limits: {label: 3}", "must be text, found 3 (integer; put it in quotes)"),
        ("limits: {strict: yes}", 'must be true or false, found "yes" (text)'),
        ("limits: {strict: 'true'}", 'found "true" (text; remove the quotes)'),
        ("limits: {share: '1e-4'}", 'must be a number, found "1e-4" (text; remove the quotes)'),
        ("limits: {share: 'true'}", 'limits.share: must be a number, found "true" (text)'),
        ("limits: 3", "limits: must be a mapping, found 3 (integer)"),
        ("space: [1]", "space: must be a mapping, found a list"),
        ("several: {}", "several: must be a list, found a mapping"),
        ("several: [{name: range, steps: ab}]", 'must be a list, found "ab" (text)'),
        # values
        ("limits: {share: 0}", "limits.share: must be > 0, found 0"),
        ("limits: {share: 1.5}", "limits.share: must be <= 1, found 1.5"),
        ("limits: {share: .nan}", "limits.share: must be a finite number, found nan"),
        ("limits: {share: 1e999}", "limits.share: must be a finite number, found inf"),
        ("limits: {kept: none}", 'limits.kept: must be "all" or "best", found "none"'),
        ("limits: {kept: 3}", 'limits.kept: must be "all" or "best", found 3'),
        ("several: [{name: range, steps: [1]}]", "steps: must have at least 2 items, found 1"),
        ("several: [{name: range, steps: [1, 2, 3]}]", "must have at most 2 items, found 3"),
        ("nested: {a: {b: 0}}", "nested.a.b: must be > 0, found 0"),
        # values of several kinds
        ("limits: {max_trials: -1}", 'max_trials: must be "auto" or > 0, found -1'),
        ("limits: {max_trials: many}", 'must be "auto" or an integer, found "many" (text)'),
        ("limits: {max_trials: '4'}", 'found "4" (text; remove the quotes)'),
        ("base: 3", "base: must be text or a mapping, found 3"),
        # names
        ("space: {a: {name: uniforn}}", 'space.a.name: unknown name, found "uniforn"; did you mean'
         ' "uniform"? (known: choice, grid, range, uniform)'),
        ("space: {a: {name: 3}}", "space.a.name: unknown name, found 3 (known: choice,"),
        ("space: {a: {name: [x]}}", "space.a.name: unknown name, found a list (known: choice,"),
        ("space: {a: range}", 'space.a: must be a mapping with a name, found "range" (known:'),
        ("space: {a: ~}", "space.a: must be a mapping with a name, found null (known:"),
        # keys
        ("space: {a: {name: range, low: 1}}",
         "space.a.low: not a key of distribution range; it belongs to uniform"),
        ("space: {a: {low: 1, values: [1]}}",
         "space.a.low: not a key of distribution choice; it belongs to uniform"),
        ("max_trials: 3", 'max_trials: unknown key; did you mean "limits.max_trials"?'),
        ("limits: {steps: 1}", 'steps: unknown key; did you mean "needed.steps"?'),
        ("limits: {Strict: true}", 'limits.Strict: unknown key; did you mean "strict"?'),
        ('"\\0needed\\0plain": 1', r"'\x00needed\x00plain': unknown key; did you mean "),
        # validators
        ("space: {a: {name: uniform, low: 2, high: 1}}",
         "space.a.low: must be below high (1.0), found 2.0"),
        ("space: {a.b: {values: [1]}}", "space.a.b: must not be searched"),
        ("nested: {a: {}, b: {}, c: {}}", "nested: must have at most 2 keys"),
        ("count: 13", "count: must not be 13"),
    ],
)  # fmt: skip
def test_a_problem_states_the_rule_and_the_value(text, expected):
    assert expected in problem(text)


def test_a_validators_text_without_a_key_is_about_the_whole_file():
    assert problems("count: 14") == ["  whatever is wrong"]


def test_a_misspelt_name_is_reported_beside_the_missing_one():
    with pytest.raises(ConfigError) as raised:
        check("needed:\n  nmae: range\n  steps: [1, 2]")
    assert str(raised.value).splitlines()[1:] == [
        "  line 1: needed.name: required key is missing (known: plain, range)",
        '  line 2: needed.nmae: unknown key; did you mean "name"? (known: name, steps)',
    ]


def test_a_missing_key_has_the_line_of_its_section_and_none_at_the_top():
    with pytest.raises(ConfigError) as raised:
        check("several:\n\n  - name: uniform\n    low: 1")
    assert [(p.key, p.line, p.rule) for p in raised.value.problems] == [
        ("needed", None, "required key is missing"),
        ("several[0].high", 3, "required key is missing"),
    ]


def test_a_long_value_is_shortened():
    assert len(problem(f"count: {'x' * 1000}")) < 120


def test_values_without_lines_are_checked_like_a_file():
    with pytest.raises(ConfigError) as raised:
        validate(Search, Document({"needed": {"name": "plain"}, "count": "1", 5: 6}, {}, "code"))
    assert str(raised.value).splitlines() == [
        "code: 2 problems",
        '  count: must be an integer, found "1" (text; remove the quotes)',
        "  a key must be text, found 5",
    ]


@pytest.mark.parametrize(("data", "shown"), [([1], "a list"), (None, "null"), ("a", '"a" (text)')])
def test_a_document_that_is_not_a_mapping_is_refused(data, shown):
    with pytest.raises(ConfigError) as raised:
        validate(Search, Document(data, {}, "code"))
    assert str(raised.value) == f"code: 1 problem\n  must be a mapping, found {shown}"


class Disc(Section):
    name: Literal["disc"] = "disc"
    radius: float = 1.0


class Own(Section):
    open_names = r"\w+:\w+"
    name: str = Field(examples=["my:star"], json_schema_extra={"pattern": r"^\w+:\w+$"})
    args: dict[str, int] = {}


class Drawing(Section):
    shape: Annotated[Disc | Own, ByName("shape", default="disc")] = Disc()


def draw(text: str) -> Drawing:
    return validate(Drawing, parse_yaml(text, "d.yaml"))


def test_a_member_with_open_names_gets_every_name_that_matches():
    assert draw("shape: {name: 'my:star', args: {points: 5}}").shape == Own(
        name="my:star", args={"points": 5}
    )
    assert draw("shape: {radius: 2}").shape == Disc(radius=2)
    assert Drawing(shape=Own(name="a:b")).shape.name == "a:b"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{name: dics}", 'shape.name: unknown name, found "dics"; did you mean "disc"? (kn'),
        ("{name: 'my:star', radius: 2}", "shape.radius: not a key of shape my:star but of disc; "
         "arguments of my:star go into shape.args"),
        ("{name: 'my:star', arg: {}}", 'shape.arg: unknown key; did you mean "args"?'),
        ("{name: 'my:star', args: {points: x}}", "shape.args.points: must be an integer, found"),
        ("{name: disc, args: {}}", "shape.args: not a key of shape disc; it belongs to my:star"),
    ],
)  # fmt: skip
def test_errors_below_an_open_name_have_it_in_their_text(text, rule):
    with pytest.raises(ConfigError) as raised:
        draw(f"shape: {text}")
    assert rule in str(raised.value)


def test_the_json_schema_tells_fixed_and_open_names_apart():
    schema = Drawing.model_json_schema()
    assert schema["properties"]["shape"]["oneOf"] == [
        {"$ref": "#/$defs/Disc"},
        {"$ref": "#/$defs/Own"},
    ]
    assert schema["$defs"]["Own"]["properties"]["name"]["pattern"] == r"^\w+:\w+$"

"""Checks before a sweep refuse what would make trials fail, by key and line of the search file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.preflight.checks import (
    background_checks,
    check_on_worker,
    check_settings,
    refuse_failing_sweep,
)
from sweeps.spec.load import load_search, parse_search
from sweeps.spec.search_spec import SearchSpec
from tests.integration.commands import invoke, refusal
from trainable.errors import ConfigError
from trainable.preflight.background import Options

ALLOWED = Options(allow_custom_model=True)

MakeSearch = Callable[..., Path]


@pytest.fixture
def make_search(
    working_directory: Path, tiny_data: Callable[..., dict[str, dict[str, Any]]]
) -> MakeSearch:
    """Writes base.yaml (the tiny config with merged sections) and search.yaml that names it."""

    def make(space: dict[str, Any] | None = None, name: str = "new", **sections: Any) -> Path:
        checkpoint = {"enabled": True, **sections.get("checkpoint", {})}
        base = tiny_data(**{**sections, "checkpoint": checkpoint})
        Path("base.yaml").write_text(yaml.safe_dump(base, sort_keys=False))
        search = {
            "name": name,
            "config": "base.yaml",
            "space": space or {"optimizer.momentum": {"uniform": [0.1, 0.9]}},
            "tune": {"num_samples": 2, "seed": 1},
        }
        Path("search.yaml").write_text(yaml.safe_dump(search, sort_keys=False))
        return working_directory / "search.yaml"

    return make


VERBS = pytest.mark.parametrize("verb", ["validate", "plan", "run"])


@VERBS
@pytest.mark.parametrize(
    ("sections", "key", "text"),
    [
        ({"checkpoint": {"resume": "gone.pt"}}, "checkpoint.resume", "there is no file"),
        ({"checkpoint": {"resume": "."}}, "checkpoint.resume", "found the directory"),
        ({"model": {"name": "no_such_module_at_all:Net"}}, "model.name", "there is no module"),
        (
            {"dataset": {"name": "image_folder", "root": "nope"}},
            "dataset.root",
            "there is no directory",
        ),
        ({"checkpoint": {"dir": "base.yaml/x"}}, "checkpoint.dir", "base.yaml is a file"),
        ({"model": {"num_classes": 3}}, "model.num_classes", "at least the data's 10, found 3"),
    ],
)
def test_every_verb_refuses_it_before_anything_is_created(
    verb: str, sections: dict[str, Any], key: str, text: str, make_search: MakeSearch
) -> None:
    path = make_search(**sections)
    message = refusal(verb, path, "--allow-custom-model")
    lines = message.splitlines()
    assert lines[0] == f"{path}: 1 problem"
    assert lines[1].startswith("  line 2: config: ")
    assert f"base.yaml: line {_line_of(key)}: {key}: " in lines[1]
    assert text in lines[1]


def _line_of(key: str) -> int:
    section, name = key.split(".")
    lines = Path("base.yaml").read_text().splitlines()
    start = lines.index(f"{section}:")
    return next(at for at in range(start, len(lines)) if lines[at].startswith(f"  {name}:")) + 1


@VERBS
def test_own_code_needs_the_flag(verb: str, make_search: MakeSearch) -> None:
    assert "add --allow-custom-model on the command line" in refusal(verb, make_search())


@VERBS
def test_a_name_that_is_a_file_is_refused(verb: str, make_search: MakeSearch) -> None:
    path = make_search(name="taken")
    Path("experiments").mkdir()
    Path("experiments", "taken").touch()
    message = refusal(verb, path, "--allow-custom-model")
    assert "line 1: name: must be free in checkpoint.dir: " in message


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_an_own_model_is_run_once(verb: str, make_search: MakeSearch) -> None:
    path = make_search(model={"name": "wrong_models:returns_tuple"})
    message = refusal(verb, path, "--allow-custom-model")
    assert 'model.name: "wrong_models:returns_tuple" must return logits [B, 10]' in message


def test_validate_says_that_an_own_model_was_not_run(make_search: MakeSearch) -> None:
    path = make_search(model={"name": "wrong_models:returns_tuple"})
    done = invoke("validate", path, "--allow-custom-model")
    assert done.exit_code == 0
    assert "not run (wrong_models:returns_tuple)" in done.stderr
    assert "plan search.yaml --allow-custom-model" in done.stderr


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_own_code_is_found_beside_the_search_file(
    verb: str, make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_search(model={"name": f"beside_the_file_{verb}:frozen"})
    path.with_name(f"beside_the_file_{verb}.py").write_text(
        "from tests.support.wrong_models import frozen\n"
    )
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert "all of its parameters are frozen" in refusal(verb, path, "--allow-custom-model")


def problems(spec: SearchSpec) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        refuse_failing_sweep(spec, ALLOWED)
    return [(problem.key, problem.rule) for problem in caught.value.problems]


def test_a_bad_choice_is_reported_at_its_key_in_the_space(make_search: MakeSearch) -> None:
    path = make_search({"model.num_classes": {"choice": [10, 3]}})
    ((key, rule),) = problems(load_search(path))
    assert (key, rule) == (
        "space.model.num_classes",
        "with 3: must be at least the data's 10, found 3",
    )


def test_what_fails_with_some_values_only_names_them(make_search: MakeSearch) -> None:
    space = {"model.name": {"choice": ["resnet20", "vgg11"]}}
    path = make_search(space, training={"batch_size": 1})
    ((key, rule),) = problems(load_search(path))
    assert key == "config"
    assert 'training.batch_size: with model.name: "vgg11": must be at least 2' in rule


def test_a_problem_of_every_trial_is_reported_once(make_search: MakeSearch) -> None:
    space = {"training.batch_size": {"choice": [64, 128]}}
    path = make_search(space, model={"name": "wrong_models:frozen"})
    assert len(problems(load_search(path))) == 1


@pytest.mark.slow
def test_slow_checks_are_made_beside_other_work(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interactive session has a process for them, though torch is loaded."""
    with background_checks(load_search(make_search()), ALLOWED) as finish:
        finish()
    monkeypatch.delattr(sys.modules["__main__"], "__file__")
    spec = load_search(make_search(model={"name": "wrong_models:frozen"}))
    with background_checks(spec, ALLOWED) as finish, pytest.raises(ConfigError, match="frozen"):
        finish()


def test_for_a_cluster_files_are_checked_on_a_worker(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's machine has no data."""
    path = make_search(
        model={"name": "resnet20"}, dataset={"name": "image_folder", "root": "on_the_workers"}
    )
    spec = load_search(path)
    check_settings(spec, ALLOWED)
    with pytest.raises(ConfigError, match=r"dataset\.root: there is no directory"):
        check_on_worker(spec, ALLOWED, lambda function: function())
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    refuse_failing_sweep(spec, ALLOWED)
    with pytest.raises(ConfigError, match="add --allow-custom-model"):
        check_settings(load_search(make_search()), Options(allow_custom_model=False))


def test_plain_values_have_no_lines(tiny_data: Callable[..., Any]) -> None:
    config = tiny_data(model={"num_classes": 3})
    spec = parse_search({"config": config, "space": {}, "tune": {"num_samples": 1, "seed": 1}})
    with pytest.raises(ConfigError) as caught:
        refuse_failing_sweep(spec, ALLOWED)
    assert caught.value.problems[0].key == "config.model.num_classes"


def test_every_model_of_a_choice_is_checked_with_its_arguments(make_search: MakeSearch) -> None:
    pytest.importorskip("timm")
    space = {
        "model.name": {"choice": ["tests.support.tiny_models:mlp", "timm/test_resnet"]},
        "model.args.drop_path": {"uniform": [0, 0.1], "when": {"model.name": "timm/test_resnet"}},
    }
    spec = load_search(make_search(space))
    with pytest.raises(ConfigError, match="add --allow-custom-model on the command line"):
        refuse_failing_sweep(spec, Options(allow_custom_model=False))
    with pytest.raises(ConfigError) as raised:
        refuse_failing_sweep(spec, ALLOWED)
    [problem] = raised.value.problems
    assert problem.key == "space.model.args.drop_path"
    assert problem.rule == (
        'with 0.0: "timm/test_resnet" takes no such argument; did you mean "drop_path_rate"?'
    )

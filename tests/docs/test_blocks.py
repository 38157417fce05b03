"""Every yaml, python and json block of the documentation is checked or run.

tests/README.md lists the marks by which a page says how. test_commands.py checks the sh blocks.
"""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.results.loaded_sweep import load
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.trials.pause import EXIT_CODES
from tests.support.doc_blocks import (
    LANGUAGES,
    MARKS,
    PAGES,
    ROOT,
    Block,
    list_blocks,
    parse_blocks,
)
from tests.support.doc_places import SWEEP, DocPlace
from trainable.config import TrainConfig, parse_config
from trainable.config.yaml_reader import parse_yaml
from trainable.errors import ConfigError

CONFIGS = ROOT / "configs"
SEARCH_KEYS, TRAINING_KEYS = set(SearchSpec.model_fields), set(TrainConfig.model_fields)
WHOLE_SEARCH = {key for key, field in SearchSpec.model_fields.items() if field.is_required()}
WHOLE_TRAINING = {key for key, field in TrainConfig.model_fields.items() if field.is_required()}
SWEEP_OF_PAGES = ["--set", "tune.num_samples=3", "--set", "config.training.epochs=2"]
"""Settings that make the real sweep of the slow tests a short one."""


def name(value: Any) -> str:
    return value.place if isinstance(value, Block) else str(value)


def base_training() -> dict[str, Any]:
    text = (CONFIGS / "resnet20_digits.yaml").read_text("utf-8")
    return dict(parse_yaml(text, "resnet20_digits.yaml").data)


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Merges the sections of a fragment; one with another `name` replaces that of the base."""
    merged = dict(base)
    for key, value in change.items():
        old = base.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        same = both and value.get("name", old.get("name")) == old.get("name")
        merged[key] = {**old, **value} if same else value
    return merged


def check_search(
    values: Mapping[str, Any], others: Mapping[str, Any], training: dict[str, Any], directory: Path
) -> None:
    """Parses a fragment of a search file with the rest of a small one.

    Args:
        values: The fragment.
        others: What it needs besides, by the keys of the file.
        training: The training config.
        directory: What `config` is relative to.
    """
    rest = {"config": training, "space": {}, "tune": {"num_samples": 9}, **others}
    if not isinstance(values.get("config", ""), str):
        values = {**values, "config": merge(training, values["config"])}
    if "tune" in values:
        values = {**values, "tune": {**rest["tune"], **values["tune"]}}
    parse_search({**rest, **values}, directory=directory)


def check_yaml(block: Block, directory: Path = CONFIGS) -> None:
    """Checks a block by what its keys are: of the search file or of the training config.

    Args:
        block: The block.
        directory: What `config` of a search file is relative to.
    """
    if "other" in block.marks:
        assert list(yaml.safe_load_all(block.text))
        return
    document = parse_yaml(block.text, block.place)
    values = document.data
    for key in reversed(block.marks.get("in", "").split(".")):
        values = {key: values} if key else values
    others = parse_yaml(block.marks.get("with", "{}"), block.place).data
    needed = {key: value for key, value in others.items() if key in SEARCH_KEYS}
    training = merge(base_training(), {k: v for k, v in others.items() if k not in needed})
    keys = set(values)
    if keys >= WHOLE_SEARCH and keys <= SEARCH_KEYS and "with" not in block.marks:
        parse_search(document, directory=directory)
    elif keys and keys <= SEARCH_KEYS:
        check_search(values, needed, training, directory)
    elif keys >= WHOLE_TRAINING and keys <= TRAINING_KEYS:
        parse_config(document)
    elif keys and keys <= TRAINING_KEYS:
        parse_config(merge(training, values), block.place)
    else:
        unknown = sorted(keys - SEARCH_KEYS - TRAINING_KEYS) or "keys of both files"
        pytest.fail(f"{block.place}: neither a search file nor a training config: {unknown}")


@pytest.mark.parametrize("block", list_blocks("yaml"), ids=name)
def test_a_yaml_block_is_valid(block: Block, tmp_path: Path) -> None:
    shutil.copytree(CONFIGS, tmp_path, dirs_exist_ok=True)
    for other in parse_blocks(block.page.read_text("utf-8"), block.page):
        if "file" in other.marks:  # a search file may name it
            path = tmp_path / other.marks["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(other.text, "utf-8")
    check_yaml(block, (tmp_path / block.marks.get("file", "file")).parent)


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("tune: {schedular: asha}", {}),
        ("optimizer: {lr: 0.1}", {}),
        ("optimizer.learning_rte: {uniform: [0, 1]}", {"in": "space"}),
        ("space: {model.args.depth: {choice: [1, 2]}}", {}),
        ("dataset: {name: digits}\nmodel: {name: resnet21}\ntraining: {epochs: 1}", {}),
    ],
)
def test_a_wrong_key_or_value_in_a_yaml_block_is_noticed(text: str, marks: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        check_yaml(Block(ROOT / "page.md", 1, "yaml", text, marks))


def test_a_yaml_block_of_another_program_needs_a_mark() -> None:
    text = "method: bayes\nparameters: {lr: {min: 0.1}}"
    with pytest.raises(pytest.fail.Exception, match="neither a search file nor"):
        check_yaml(Block(ROOT / "page.md", 1, "yaml", text))
    check_yaml(Block(ROOT / "page.md", 1, "yaml", text, {"other": "wandb"}))


@pytest.mark.parametrize("block", list_blocks("json"), ids=name)
def test_a_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_have_a_known_language_and_known_marks(page: Path) -> None:
    for block in parse_blocks(page.read_text("utf-8"), page):
        directive = block.language.startswith("{")
        assert directive or block.language in LANGUAGES, block.place
        assert set(block.marks) <= MARKS, block.place
        if "tested" in block.marks:
            test = ROOT / block.marks["tested"]
            assert page.name in test.read_text("utf-8"), block.place


@pytest.mark.parametrize("block", list_blocks("python"), ids=name)
def test_a_python_block_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> DocPlace:
    place = DocPlace(tmp_path_factory.mktemp("template"))
    place.write()
    return place


@contextmanager
def running_sweep(directory: Path) -> Iterator[None]:
    """Lets the sweep run in another process, with more trials than it had."""
    program = [sys.executable, str(ROOT / "sweeps" / "cli")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    resume = [*program, "resume", str(directory), "--num-samples", "40"]
    process = subprocess.Popen(resume, env=environment)
    try:
        while load(directory).state != "running":
            assert process.poll() is None, "the sweep has ended"
            time.sleep(0.2)
        yield
        subprocess.run([*program, "stop", str(directory)], env=environment, check=True)
        assert process.wait() == EXIT_CODES["stop"]
    finally:
        process.terminate()
        process.wait()


Run = Callable[[DocPlace, list[Block]], None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, project_environment: dict[str, str]) -> Iterator[Run]:
    """Runs blocks of one page in a directory: Python in one namespace, sh lines by bash."""
    places = []

    def run_blocks(place: DocPlace, blocks: list[Block]) -> None:
        places.append(place.directory)
        monkeypatch.chdir(place.directory)
        monkeypatch.syspath_prepend(place.directory)
        namespaces: dict[str, dict[str, Any]] = {}
        for block in blocks:
            text = place.with_names(block.text)
            if "file" in block.marks:
                Path(block.marks["file"]).parent.mkdir(parents=True, exist_ok=True)
                Path(block.marks["file"]).write_text(text, "utf-8")
                if block.language == "python":
                    runpy.run_path(block.marks["file"])
            elif block.language == "sh":
                environment = {**project_environment, "PYTHONPATH": str(ROOT)}
                subprocess.run(["bash", "-ec", text], env=environment, check=True)
            elif block.language == "python" and "running" in block.marks:
                with running_sweep(place.directory / SWEEP):
                    exec(compile(text, block.place, "exec"), {"__name__": "__main__"})
            elif block.language == "python":
                namespace = namespaces.setdefault(block.marks.get("other", ""), {})
                namespace["__name__"] = "__main__"
                lines = "\n" * (block.line - 1) + text
                exec(compile(lines, str(block.page), "exec"), namespace)

    yield run_blocks
    for module, value in list(sys.modules.items()):
        file = getattr(value, "__file__", None) or ""
        if any(Path(file).is_relative_to(place) for place in places):
            del sys.modules[module]


def blocks_to_run(page: Path, *, slow: bool) -> list[Block]:
    """Lists the blocks of a page that run by default, or all that run in the slow test."""
    runnable = []
    for block in parse_blocks(page.read_text("utf-8"), page):
        if "tested" in block.marks or (block.is_slow and not slow):
            continue
        is_ours = block.language == "python" and "other" not in block.marks
        if "file" in block.marks or block.is_slow or is_ours:
            runnable.append(block)
    return runnable


def pages_with_blocks(*, slow: bool) -> list[Path]:
    """Lists the pages on which something runs; with `slow`, something that is marked so."""
    return [
        page
        for page in PAGES
        if any(
            block.is_slow if slow else block.language == "python"
            for block in blocks_to_run(page, slow=slow)
        )
    ]


def page_name(page: Path) -> str:
    return re.sub(r"\W", "_", page.relative_to(ROOT).with_suffix("").as_posix())


@pytest.mark.parametrize("page", pages_with_blocks(slow=False), ids=page_name)
def test_the_python_blocks_of_a_page_run_in_order(
    page: Path, template: DocPlace, tmp_path: Path, run: Run
) -> None:
    shutil.copytree(template.directory, tmp_path, dirs_exist_ok=True)
    run(DocPlace(tmp_path), blocks_to_run(page, slow=False))


@pytest.fixture(scope="module")
def real_template(tmp_path_factory: pytest.TempPathFactory) -> DocPlace:
    """Like `template`, with a sweep that has been run."""
    place = DocPlace(tmp_path_factory.mktemp("real_template"))
    place.write()
    shutil.rmtree(place.directory / SWEEP)
    command = [sys.executable, ROOT / "sweeps" / "run.py", "configs/search.yaml", *SWEEP_OF_PAGES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=place.directory, env=environment, check=True)
    return place


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", pages_with_blocks(slow=True), ids=page_name)
def test_the_blocks_of_a_page_that_train_run_in_order(
    page: Path, real_template: DocPlace, tmp_path: Path, run: Run
) -> None:
    shutil.copytree(real_template.directory, tmp_path, dirs_exist_ok=True)
    run(DocPlace(tmp_path), blocks_to_run(page, slow=True))

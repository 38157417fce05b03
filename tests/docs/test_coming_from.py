"""The pages in docs/coming_from: their programs run, their files are translated."""

import contextlib
import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.validation.space import list_config_keys
from tests.support.doc_blocks import ROOT, Block, parse_blocks
from trainable.config.introspection import fields_of, options
from trainable.config.yaml_reader import parse_yaml

FOLDER = ROOT / "docs" / "coming_from"
SYSTEMS = {"wandb_sweeps": "wandb", "nni": "nni", "determined": "determined", "ludwig": "ludwig"}
"""Page -> the mark of the other system's YAML."""
SPACE = {
    "optimizer.learning_rate": {"loguniform": [1e-3, 1.0]},
    "training.batch_size": {"choice": [32, 64, 128]},
    "optimizer.name": {"choice": ["sgd", "adamw"]},
}


def blocks(page: str, language: str, other: str | None = None) -> list[Block]:
    path = FOLDER / f"{page}.md"
    return [
        block
        for block in parse_blocks(path.read_text("utf-8"), path)
        if block.language == language and block.marks.get("other") == other
    ]


def shorten(text: str) -> str:
    short = text.replace("EPOCHS, TRIALS = 9, 16", "EPOCHS, TRIALS = 1, 2")
    assert short != text
    return short


def test_the_index_leads_to_every_page() -> None:
    text = (FOLDER / "index.md").read_text("utf-8")
    pages = {path.name for path in FOLDER.glob("*.md")} - {"index.md"}
    assert set(re.findall(r"\]\((\w+\.md)\)", text)) == pages


@pytest.mark.parametrize("page", sorted(path.stem for path in FOLDER.glob("*.md")))
def test_the_search_is_the_same_on_every_page(page: str) -> None:
    searches = [parse_yaml(block.text, page).data for block in blocks(page, "yaml")]
    whole = [search for search in searches if "config" in search]
    assert len(whole) == (page != "index")
    for search in whole:
        spec = parse_search(search)
        assert {str(key) for key in spec.space} == set(SPACE)
        assert (spec.tune.num_samples, spec.tune.metric) == (16, "val_acc")
        assert spec.training.training.epochs == 9


@pytest.mark.parametrize("page", SYSTEMS)
def test_validate_knows_every_section_of_the_others_file(page: str, tmp_path: Path) -> None:
    (block,) = blocks(page, "yaml", SYSTEMS[page])
    path = tmp_path / "sweep.yaml"
    path.write_text(block.text, "utf-8")
    result = CliRunner().invoke(main, ["validate", str(path)])
    assert result.exit_code == 2
    assert "unknown key (known" not in result.output
    written = [line for line in result.output.splitlines() if "is written" in line]
    assert len(written) == len(SPACE)
    for line, (key, form) in zip(written, SPACE.items(), strict=True):
        assert yaml.safe_load(line.partition("is written ")[2].rpartition(" in space")[0]) == {
            key: form
        }


def test_the_shown_translation_is_what_validate_prints(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("wandb_sweeps", "yaml", "wandb")
    Path("sweep.yaml").write_text(block.text, "utf-8")
    (shown,) = blocks("index", "text")
    command, *lines = shown.text.splitlines()
    output = CliRunner().invoke(main, command.split()[2:]).output
    assert [line for line in lines if line != "  ..." and line not in output.splitlines()] == []


def test_the_optuna_programs_run_and_give_points(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    study, points = blocks("optuna", "python", "optuna")
    exec(compile(shorten(study.text), study.place, "exec"), {})
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(points.text, points.place, "exec"), {})
    check_points(printed.getvalue())


def test_the_nni_program_gives_points(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "lr": value / 9,
            "batch_size": 64,
            "optimizer": "sgd",
            "reward": value,
            "trialJobId": str(value),
        }
        for value in (0.9, 0.95, 0.8, 0.1)
    ]
    with Path("trials.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (block,) = blocks("nni", "python", "nni")
    exec(compile(block.text, block.place, "exec"), {})
    assert len(check_points(capsys.readouterr().out)) == 3


def check_points(printed: str) -> list[object]:
    points = yaml.safe_load(printed)["points_to_evaluate"]
    (block,) = blocks("optuna", "yaml")
    search = parse_yaml(block.text, block.place).data
    search["tune"]["points_to_evaluate"] = points
    assert parse_search(search).tune.points_to_evaluate
    return list(points)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_the_ray_program_runs(tmp_path: Path, project_environment: dict[str, str]) -> None:
    (block,) = blocks("ray_tune", "python", "ray_tune")
    (tmp_path / "script.py").write_text(shorten(block.text), "utf-8")
    environment = {**project_environment, "HOME": str(tmp_path), "RAY_ADDRESS": "local"}
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, check=True)
    assert len(list((tmp_path / "ray_results" / "digits").glob("train_*"))) == 2


def own_keys() -> set[str]:
    """Dotted keys of both files as the pages write them, those of the training config bare."""
    keys = set(list_config_keys()) | set(SearchSpec.model_fields)
    for section, field in SearchSpec.model_fields.items():
        for kind in options(field.annotation):
            for key in fields_of(kind):
                keys.add(f"{section}.{key}")
                for inner in options(kind.model_fields[key].annotation):
                    keys |= {
                        f"{prefix}{key}.{name}"
                        for name in fields_of(inner)
                        for prefix in ("", f"{section}.")
                    }
    return keys


@pytest.mark.parametrize("page", sorted(path.stem for path in FOLDER.glob("*.md")))
def test_the_keys_in_the_column_of_this_project_exist(page: str) -> None:
    sections = {key.partition(".")[0] for key in own_keys()} - {"name"}
    wrong = []
    for line in (FOLDER / f"{page}.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        ours = cells[0] if page == "index" else cells[1] if len(cells) > 1 else ""
        for code in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)[`:]", ours if line[:1] == "|" else ""):
            if code.partition(".")[0] in sections and code not in own_keys():
                wrong.append(code)
    assert not wrong

"""`sweep predict`: the classes of image files, as an evaluation of the checkpoint has them."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from sweeps.cli.main import main
from tests.support import own_data
from tests.support.image_folders import touch, write_image_folder
from trainable.artifacts.checkpoint import write_checkpoint
from trainable.data.arrays import load_arrays
from trainable.errors import DataError
from trainable.experiment.from_checkpoint import evaluate_checkpoint
from trainable.inference.predict import Prediction, Predictor, list_image_files
from trainable.training.trainer import Trainer

TrainerFactory = Callable[..., Trainer]
MODEL = "tiny_models:pooled_cnn"
FOLDER = {"name": "image_folder", "val_split": None, "num_workers": 0, "cache": False}
LOSSLESS = {"image_size": 8, "crop_share": 1.0}
RESIZED = {"image_size": 12, "crop_share": 0.6, "interpolation": "bicubic"}


def predict(*words: object) -> Result:
    arguments = ["predict", "--allow-custom-model", *map(str, words)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def train(tmp_path: Path, tiny_trainer: TrainerFactory) -> Callable[..., Path]:
    """Trains an epoch of a folder; returns the checkpoint."""

    def train(root: Path, *, keys: dict[str, Any] = LOSSLESS, **sections: Any) -> Path:
        trainer = tiny_trainer(
            dataset={**FOLDER, "root": str(root), **keys},
            model={"name": MODEL},
            training={"epochs": 1, "batch_size": 4},
            **sections,
        )
        trainer.run_epoch()
        path = tmp_path / "best.pt"
        write_checkpoint(trainer.state_dict(), [path])
        return path

    return train


def add_odd_images(folder: Path) -> None:
    """Adds a wide, a transparent, a turned and a 16-bit image."""
    rng = np.random.default_rng(1)
    wide = Image.fromarray(rng.integers(0, 255, (20, 45, 3), dtype=np.uint8))
    wide.save(folder / "a wide.png")
    exif = Image.Exif()
    exif[274] = 6
    wide.save(folder / "turned.jpg", exif=exif)
    transparent = rng.integers(0, 255, (33, 21, 4), dtype=np.uint8)
    Image.fromarray(transparent).save(folder / "transparent.png")
    deep = rng.integers(0, 65535, (16, 16), dtype=np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")


@pytest.mark.parametrize("keys", [LOSSLESS, {**RESIZED, "background": [9, 200, 0]}])
def test_predictions_for_the_test_set_are_those_of_an_evaluation(
    tmp_path: Path, train: Callable[..., Path], keys: dict[str, Any]
) -> None:
    root = write_image_folder(tmp_path / "images", side=8 if keys is LOSSLESS else 30, test=7)
    add_odd_images(root / "test" / "cat")
    checkpoint = train(root, keys=keys)
    state = torch.load(checkpoint)
    scores = evaluate_checkpoint(checkpoint, {}, allow_custom_model=True)
    done = predict(checkpoint, root / "test", "--top", 2)
    assert done.exit_code == 0, done.output
    rows = read_csv(done.stdout)
    assert len(rows) == scores["images"] == 18
    correct = [row["class"] == Path(row["path"]).parent.name for row in rows]
    assert sum(correct) / len(rows) == scores["test_acc"]
    assert {row["class"] for row in rows} == set(state["config"]["dataset"]["classes"])


def test_probabilities_are_those_of_the_evaluated_batches(
    tmp_path: Path, tiny_trainer: TrainerFactory
) -> None:
    root = write_image_folder(tmp_path / "images", side=30, test=5)
    add_odd_images(root / "test" / "dog")
    trainer = tiny_trainer(
        dataset={**FOLDER, **RESIZED, "root": str(root)},
        model={"name": MODEL},
        training={"batch_size": 4},
    )
    write_checkpoint(trainer.state_dict(), [tmp_path / "best.pt"])
    batches = trainer.source.eval_batches("test", 4)
    with torch.inference_mode():
        logits = torch.cat([trainer.model.eval()(images) for images, _ in batches])
    paths = list_image_files([root / "test"]).paths
    rows = Predictor(tmp_path / "best.pt", allow_custom_model=True).predict(paths, top=2)
    for row, values in zip(rows, logits.softmax(1).tolist(), strict=True):
        assert dict(row.classes) == dict(zip(("cat", "dog"), values, strict=True)), row.path
        assert row.classes[0][1] == max(values)


@pytest.mark.parametrize("kind", ["own", "resized own", "arrays", "table", "cached table"])
def test_predictions_of_every_data_set_need_no_data(
    tmp_path: Path, tiny_trainer: TrainerFactory, kind: str
) -> None:
    wide = np.random.default_rng(3).integers(256, size=(30, 9, 14), dtype=np.uint8)
    labels = np.array(["a, b", "\u732b"] * 15)
    pictures: list[Image.Image] = [Image.fromarray(pixels) for pixels in wide]
    root = tmp_path / "data"
    root.mkdir()
    dataset: dict[str, Any] = {"root": str(root), "val_split": None, "num_workers": 0}
    if kind == "arrays":
        np.savez(root / "a.npz", x_train=wide, y_train=labels, x_test=wide, y_test=labels)
        dataset |= {"name": "arrays", "file": "a.npz"}
    elif "table" in kind:
        rows = [
            f'{split}{n:02}.png,"{label}",{split}\n'
            for split in ("train", "test")
            for n, label in enumerate(labels)
        ]
        for n, picture in enumerate(pictures):
            picture.save(root / f"train{n:02}.png")
            picture.save(root / f"test{n:02}.png")
        (root / "t.csv").write_text("path,label,split\n" + "".join(rows), encoding="utf-8")
        dataset |= {"name": "table", "file": "t.csv", **RESIZED}
        dataset["cache"] = kind == "cached table"
        pictures = pictures[::2] + pictures[1::2]  # as they are listed: by label and path
    elif kind == "own":
        dataset |= {"name": "own_data:arrays"}
        pictures = [Image.fromarray(pixels) for pixels in own_data.PIXELS[:30]]
    else:
        dataset |= {"name": "own_data:pictures", "image_size": 11, "interpolation": "nearest"}
        pictures = [own_data.pictures()["test"][n][0] for n in range(30)]
    trainer = tiny_trainer(dataset=dataset, model={"name": MODEL})
    trainer.run_epoch()
    write_checkpoint(trainer.state_dict(), [tmp_path / "best.pt"])
    with torch.inference_mode():
        batches = trainer.source.eval_batches("test", 30)
        logits = torch.cat([trainer.model.eval()(images) for images, _ in batches])
    shutil.rmtree(root)
    paths = [str(tmp_path / f"{n}.png") for n in range(30)]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    names = trainer.source.class_names
    rows = list(Predictor(tmp_path / "best.pt", allow_custom_model=True).predict(paths, top=3))
    for row, values in zip(rows, logits.softmax(1).tolist(), strict=True):
        expected = pytest.approx(values, abs=1e-6)
        assert [dict(row.classes)[name] for name in names] == expected


def test_finished_floats_are_said(tmp_path: Path, tiny_trainer: TrainerFactory) -> None:
    trainer = tiny_trainer(
        dataset={"name": "own_data:floats", "val_split": None}, model={"name": MODEL}
    )
    write_checkpoint(trainer.state_dict(), [tmp_path / "best.pt"])
    notices = Predictor(tmp_path / "best.pt", allow_custom_model=True).notices
    assert notices[-1].startswith("own_data:floats gave floats to the model: pixels are scaled to")


def test_grey_models_read_files_of_every_size_and_mode(
    tmp_path: Path, tiny_trainer: TrainerFactory
) -> None:
    trainer = tiny_trainer()
    trainer.run_epoch()
    write_checkpoint(trainer.state_dict(), [tmp_path / "digits.pt"])
    test = load_arrays(trainer.config.dataset).test
    for number, (pixels, label) in enumerate(zip(test.pixels, test.labels, strict=True)):
        folder = tmp_path / "digits" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        mode = ("L", "RGB", "P", "RGBA")[number % 4]
        Image.fromarray(pixels[..., 0]).convert(mode).save(folder / f"{number}.png")
    done = predict(tmp_path / "digits.pt", tmp_path / "digits")
    rows = read_csv(done.stdout)
    correct = sum(row["class"] == Path(row["path"]).parent.name for row in rows)
    assert (len(rows), correct / len(rows)) == (len(test.labels), trainer.score("test").acc)
    assert done.stderr.splitlines() == [
        "note: the model was trained on digits: images are converted to grey and resized to 8x8 "
        "pixels"
    ]


def test_an_unreadable_image_is_named_and_the_others_are_predicted(
    tmp_path: Path, train: Callable[..., Path]
) -> None:
    root = write_image_folder(tmp_path / "images", test=9)
    checkpoint = train(root)
    folder = root / "test" / "cat"
    whole = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("no image")
    done = predict(checkpoint, folder, tmp_path / "notes.txt", folder / "1.png")
    assert done.exit_code == 1
    rows = read_csv(done.stdout)
    names = [*(f"{number}.png" for number in range(9)), "notes.txt", "1.png"]
    assert [Path(row["path"]).name for row in rows] == names
    broken = [row for row in rows if row["error"]]
    assert [row["class"] + row["probability"] for row in broken] == ["", ""]
    assert [row["path"] for row in broken] == [
        str(folder / "3.png"),
        str(tmp_path / "notes.txt"),
    ]
    errors = [f"note: {row['path']}: {row['error']}" for row in broken]
    assert done.stderr.splitlines() == [*errors, "note: 2 of 11 images cannot be read"]


def test_odd_names_survive_in_csv_and_json(tmp_path: Path, train: Callable[..., Path]) -> None:
    classes = ("a,b", 'quo"te <i>&amp;', "line\nbreak", "naïve 猫\t\x1b[2J")
    root = write_image_folder(tmp_path / "images", classes=classes)
    checkpoint = train(root)
    (root / "test" / "a,b" / "0.png").rename(root / "test" / "a,b" / 'c, "d"\n.png')
    odd = root / "test" / "a,b"
    output = tmp_path / "out, 1.csv"
    done = predict(checkpoint, root / "test", "--top", 9, "--output", output)
    assert (done.exit_code, done.stdout) == (0, f"{output}: 16 rows\n")
    rows = read_csv(output.read_text(encoding="utf-8"))
    assert len(rows) == 16
    assert list(rows[0]) == [
        *("path", "class", "probability", "class_2", "probability_2"),
        *("class_3", "probability_3", "class_4", "probability_4", "error"),
    ]
    assert str(odd / 'c, "d"\n.png') in [row["path"] for row in rows]
    for row in rows:
        suffixes = ("", "_2", "_3", "_4")
        assert {row[f"class{suffix}"] for suffix in suffixes} == set(classes)
        shares = [float(row[f"probability{suffix}"]) for suffix in suffixes]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert shares == sorted(shares, reverse=True)
    assert [row["path"] for row in read_csv(predict(checkpoint, root / "test").stdout)] == [
        row["path"] for row in rows
    ]
    lines = predict(checkpoint, root / "test", "--top", 2, "--json").stdout.splitlines()
    values = [json.loads(line) for line in lines]
    assert [value["path"] for value in values] == [row["path"] for row in rows]
    for value, row in zip(values, rows, strict=True):
        assert value["error"] is None
        assert [p["class"] for p in value["predictions"]] == [row["class"], row["class_2"]]
        best = value["predictions"][0]["probability"]
        assert best == pytest.approx(float(row["probability"]), abs=1e-6)


def test_an_evaluation_prints_odd_names_on_one_line(
    tmp_path: Path, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    classes = ("line\nbreak", "tab\t\x1b[2J", "x" * 250)
    root = write_image_folder(tmp_path / "images", classes=classes)
    words = ["eval", str(train(root)), "--metrics", "recall_per_class,confusion_matrix"]
    done = CliRunner().invoke(main, [*words, "--allow-custom-model"], catch_exceptions=False)
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    names = [row[0] for row in rows if len(row) == 5]
    assert names == ["class", "line\\nbreak", "tab\\t\\x1b[2J", "x" * 250]
    assert rows[2][2:] == ["line\\nbreak", "tab\\t\\x1b[2J", f"{'x' * 9}...{'x' * 8}"]


def test_averaged_weights_are_the_ones_that_predict(
    tmp_path: Path, train: Callable[..., Path]
) -> None:
    root = write_image_folder(tmp_path / "images", train=20)
    checkpoint = train(
        root, ema={"enabled": True, "decay": 0.5}, optimizer={"learning_rate": 0.001}
    )
    state = torch.load(checkpoint)
    paths = list_image_files([root / "test"]).paths
    averaged = list(Predictor(checkpoint, allow_custom_model=True).predict(paths))
    state["model_state_dict"] = state["training_state"]["raw_model_state_dict"]
    write_checkpoint(state, [checkpoint])
    raw = list(Predictor(checkpoint, allow_custom_model=True).predict(paths))
    assert averaged != raw


def test_a_folder_is_searched_as_image_folder_does(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.PNG", "b/10.jpg", "a/deep/x.webp", "z.tif")
    touch(tmp_path, ".hidden.png", ".cache/1.png", "b/Thumbs.db", "a/notes.txt", "a/b.pdf")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    files = list_image_files([tmp_path / "b" / "2.PNG", tmp_path])
    names = [Path(path).relative_to(tmp_path).as_posix() for path in files.paths]
    assert names == ["b/2.PNG", "z.tif", "a/deep/x.webp", "b/10.jpg", "b/2.PNG"]
    assert files.notices == [
        f"{tmp_path}: not read as images: 1 .pdf, 1 .txt (a/b.pdf, a/notes.txt)"
    ]


def test_without_an_image_nothing_starts(tmp_path: Path) -> None:
    touch(tmp_path / "empty", "notes.txt")
    checkpoint = tmp_path / "none.pt"
    done = predict(checkpoint, tmp_path / "empty", "--output", tmp_path / "out.csv")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"no image in {tmp_path}/empty; {tmp_path}/empty: not read as images: 1 .txt (notes.txt)"
    ]
    missing = [tmp_path / "cat.png", "s3://bucket/dog.png"]
    done = predict(checkpoint, *missing, tmp_path / "empty")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"there is no such file or folder: {tmp_path}/cat.png, s3://bucket/dog.png"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_no_checkpoint_and_no_place_for_the_output_are_refused(
    tmp_path: Path, train: Callable[..., Path]
) -> None:
    root = write_image_folder(tmp_path / "images")
    image = root / "test" / "cat" / "0.png"
    done = predict(root, image)
    assert done.exit_code == 2
    assert f"{root}: expected a .pt file, found a directory" in done.stderr
    done = predict(image, image)
    assert done.exit_code == 2
    assert f"{image}: expected" in done.stderr
    checkpoint = train(root)
    done = predict(checkpoint, image, "--output", tmp_path / "none" / "out.csv")
    assert done.exit_code == 2
    assert f"{tmp_path}/none/out.csv: cannot be written: No such file" in done.stderr


def test_own_code_runs_only_where_it_is_allowed(
    tmp_path: Path, train: Callable[..., Path]
) -> None:
    root = write_image_folder(tmp_path / "images")
    checkpoint = train(root)
    done = CliRunner().invoke(main, ["predict", str(checkpoint), str(root)])
    assert done.exit_code == 2
    assert "--allow-custom-model" in done.stderr


def test_channels_that_no_file_has_are_refused(
    tmp_path: Path, tiny_trainer: TrainerFactory
) -> None:
    shape = {"shape": [2, 8, 8], "num_train": 100, "num_test": 20, "num_classes": 3}
    trainer = tiny_trainer(dataset={"name": "synthetic", **shape})
    write_checkpoint(trainer.state_dict(), [tmp_path / "two.pt"])
    with pytest.raises(DataError, match="the model takes images of 2 channels"):
        Predictor(tmp_path / "two.pt", allow_custom_model=True)


def test_outputs_that_are_not_finite_are_errors_of_the_image(
    tmp_path: Path, train: Callable[..., Path]
) -> None:
    root = write_image_folder(tmp_path / "images")
    checkpoint = train(root)
    state = torch.load(checkpoint)
    state["model_state_dict"]["4.bias"][0] = torch.nan
    write_checkpoint(state, [checkpoint])
    path = str(root / "test" / "cat" / "0.png")
    assert list(Predictor(checkpoint, allow_custom_model=True).predict([path])) == [
        Prediction(path, error="the outputs of the model are not finite")
    ]

"""An image of a folder keeps its side of the validation split, whatever files come or go."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.image_folders import touch
from trainable.artifacts.checkpoint import to_cpu
from trainable.config import ImageFolderDataset
from trainable.data.listing import ListedImage, Listing
from trainable.data.splits.divide import apply_record, check_test_set, divide, draw_record
from trainable.data.splits.record import SplitRecord, image_hash
from trainable.errors import DataError

GOLDEN = [
    *("train/cat/1.png", "train/cat/2.png", "train/cat/3.png", "train/cat/4.png"),
    *("train/dog/1.png", "train/dog/2.png", "train/dog/3.png", "train/dog/4.png"),
    *("train/\u00e9mu/a b.jpg", "train/\u00e9mu/x/1.png", "train/\u00e9mu/x/2.png"),
    "train/\u00e9mu/3.png",
]


def dataset(root: Path, **keys) -> ImageFolderDataset:
    return ImageFolderDataset(name="image_folder", root=str(root), **{"val_split": 0.25, **keys})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        touch(tmp_path / "train" / name, *(f"{number}.png" for number in range(20)))
        touch(tmp_path / "test" / name, "1.png")
    return tmp_path


def val_of(root: Path, split) -> set[str]:
    return {Path(image.path).relative_to(root).as_posix() for image in split.images["val"]}


def listing_of(names: list[set[str]]) -> Listing:
    """Returns a listing of a training folder with these file names per class."""
    classes = tuple(f"class{label}" for label in range(len(names)))
    images = tuple(
        ListedImage(f"train/{classes[label]}/{name}", f"root/{name}", label)
        for label, of_class in enumerate(names)
        for name in sorted(of_class)
    )
    return Listing(Path("root"), classes, {"train": images})


def test_the_hash_and_the_split_of_a_seed_never_change():
    """Compared with stored results: a change would change everybody's validation sets."""
    assert image_hash("train/cat/1.png", 42) == 1782435384050716976
    images = tuple(ListedImage(key, f"root/{key}", at // 4) for at, key in enumerate(GOLDEN))
    listing = Listing(Path("root"), ("cat", "dog", "\u00e9mu"), {"train": images})
    record = draw_record(dataset(Path("root"), seed=42), listing)
    assert record.cuts == (1840080179492837371, 5512858596705149412, 14242398438893093564)
    held_out = [image.key for image in apply_record(listing, record)[0]["val"]]
    assert held_out == ["train/cat/1.png", "train/dog/2.png", "train/\u00e9mu/a b.jpg"]


file_names = st.sets(st.text("abc0123", min_size=1, max_size=4), min_size=3, max_size=30)
settings_of_splits = st.sampled_from([(0.2, None), (0.7, None), (None, 2), (None, 3)])


def sides_of(listing: Listing, record: SplitRecord) -> dict[str, str]:
    """Returns the split of every image, with its fold if there are any."""
    images, _ = apply_record(listing, record)
    part = record.part_of if record.folds else lambda image: ""
    return {
        image.key: split if split == "test" else f"{'' if record.folds else split}{part(image)}"
        for split, of_split in images.items()
        for image in of_split
    }


@given(
    old=st.lists(file_names, min_size=2, max_size=4),
    data=st.data(),
    split=settings_of_splits,
    test_split=st.sampled_from([None, 0.2]),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=40, deadline=None)
def test_no_image_ever_changes_its_side(old, data, split, test_split, seed):
    """For any list, splits and seed, and after any additions and removals."""
    fraction, folds = split
    if test_split is not None:
        old = [names | {"x", "y"} for names in old]
    keys = {"val_split": fraction, "folds": folds, "test_split": test_split, "seed": seed}
    listing = listing_of(old)
    record = draw_record(dataset(Path("root"), **keys), listing)
    sides = sides_of(listing, record)
    new = [
        (names - data.draw(st.sets(st.sampled_from(sorted(names))))) | data.draw(file_names)
        for names in old
    ]
    listing = listing_of(new)
    try:
        again = sides_of(listing, SplitRecord.from_dict(record.to_dict()))
    except DataError:  # a class has no image on one of the sides any more
        return
    assert {key: side for key, side in again.items() if key in sides} == {
        key: side for key, side in sides.items() if key in again
    }
    assert len(again) == sum(map(len, new))


@given(
    names=st.lists(file_names, min_size=2, max_size=4),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=40, deadline=None)
def test_every_class_has_its_share_on_both_sides(names, fraction, seed):
    listing = listing_of(names)
    record = draw_record(dataset(Path("root"), val_split=fraction, seed=seed), listing)
    held_out = apply_record(listing, record)[0]["val"]
    for label, of_class in enumerate(names):
        held = sum(image.label == label for image in held_out)
        assert held == min(max(1, round(fraction * len(of_class))), len(of_class) - 1)


@given(
    old=st.lists(file_names, min_size=2, max_size=4),
    data=st.data(),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=40, deadline=None)
def test_a_new_draw_moves_at_most_one_image_for_each_that_came(old, data, fraction, seed):
    """And one of each class, for another rounding of its share."""
    new = [names | data.draw(file_names) for names in old]
    keys = {"val_split": fraction, "seed": seed}
    before, after = (
        sides_of(listing, draw_record(dataset(Path("root"), **keys), listing))
        for listing in (listing_of(old), listing_of(new))
    )
    moved = sum(after[key] != side for key, side in before.items())
    assert moved <= len(after) - len(before) + len(old)


@given(
    names=st.lists(file_names, min_size=2, max_size=4),
    folds=st.integers(2, 3),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=40, deadline=None)
def test_folds_partition_the_training_set_evenly(names, folds, seed):
    listing = listing_of(names)
    keys = {"val_split": None, "folds": folds, "seed": seed}
    record = draw_record(dataset(Path("root"), **keys), listing)
    held_out = []
    for fold in range(folds):
        images, _ = apply_record(listing, replace(record, fold=fold))
        assert sorted([*images["train"], *images["val"]], key=str) == sorted(
            listing.splits["train"], key=str
        )
        held_out.append(images["val"])
    assert len({image.key for of_fold in held_out for image in of_fold}) == sum(map(len, names))
    for label in (None, *range(len(names))):
        sizes = [sum(label in (None, i.label) for i in of_fold) for of_fold in held_out]
        assert max(sizes) - min(sizes) <= 1


def test_the_folds_and_the_test_set_of_a_seed_never_change():
    """Compared with stored results: a change would change everybody's splits."""
    images = tuple(ListedImage(key, f"root/{key}", at // 4) for at, key in enumerate(GOLDEN))
    listing = Listing(Path("root"), ("cat", "dog", "\u00e9mu"), {"train": images})
    keys = {"val_split": None, "folds": 3, "seed": 42}
    record = draw_record(dataset(Path("root"), **keys), listing)
    folds = [record.part_of(image) for image in images]
    assert folds == [0, 2, 0, 1, 1, 0, 2, 1, 0, 1, 2, 2]
    record = draw_record(dataset(Path("root"), val_split=None, test_split=0.25), listing)
    tested = apply_record(listing, record)[0]["test"]
    keys = [image.key for image in tested]
    assert keys == ["train/cat/2.png", "train/dog/2.png", "train/\u00e9mu/3.png"]


def test_the_test_set_depends_on_no_setting_of_the_training(root):
    shutil.rmtree(root / "test")
    of_default = divide(dataset(root, test_split=0.2)).images["test"]
    assert len(of_default) == 8
    for keys in ({"seed": 7}, {"val_split": None}, {"val_split": None, "folds": 4, "fold": 2}):
        divided = divide(dataset(root, test_split=0.2, **keys))
        assert divided.images["test"] == of_default
        assert not set(of_default) & {*divided.images["train"], *divided.images.get("val", ())}


def test_a_record_is_plain_and_loads_with_a_checkpoint(root, tmp_path):
    record = divide(dataset(root)).record
    torch.save(to_cpu({"split": record.to_dict()}), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert SplitRecord.from_dict(state["split"]) == record
    assert (record.classes, record.fraction, record.seed) == (("cat", "dog"), 0.25, 42)
    assert record.sizes == {"train": 30, "val": 10, "test": 2}


def test_added_and_removed_files_move_no_other_and_are_said(root):
    first = divide(dataset(root))
    assert first.changes == ()
    gone = sorted(val_of(root, first))[0]
    (root / gone).unlink()
    touch(root / "train" / "cat", *(f"new{number}.png" for number in range(3)))
    again = divide(dataset(root), first.record)
    old = {name for name in val_of(root, again) if "new" not in name}
    assert old == val_of(root, first) - {gone}
    assert again.record == first.record
    sizes = {split: len(images) for split, images in again.images.items()}
    assert again.changes == (
        f"the images in {root} have changed since the training began: train 30 -> "
        f"{sizes['train']}, val 10 -> {sizes['val']}; those that were there keep their side",
    )


def test_new_images_are_held_out_at_about_the_same_rate(root):
    record = divide(dataset(root)).record
    touch(root / "train" / "cat", *(f"new{number}.png" for number in range(400)))
    held_out = val_of(root, divide(dataset(root), record))
    assert 40 <= sum("new" in name for name in held_out) <= 200


def test_a_moved_data_set_keeps_its_split(root, tmp_path_factory):
    first = divide(dataset(root))
    moved = tmp_path_factory.mktemp("moved") / "data"
    root.rename(moved)
    again = divide(dataset(moved), first.record)
    assert val_of(moved, again) == val_of(root, first)
    assert again.changes == ()


def test_other_class_names_are_refused_unless_they_are_given(root):
    first = divide(dataset(root))
    for split in ("train", "test"):
        (root / split / "cat").rename(root / split / "kitten")
    with pytest.raises(DataError, match=r"dataset.classes: missing cat and new kitten; "):
        divide(dataset(root), first.record)
    renamed = divide(dataset(root, classes=["kitten", "dog"]), first.record)
    assert renamed.listing.classes == ("kitten", "dog")
    before = {name.replace("cat", "kitten") for name in val_of(root, first)}
    assert val_of(root, renamed) == before
    assert renamed.changes == ()


def test_another_number_of_classes_is_refused_by_name(root):
    first = divide(dataset(root))
    for split in ("train", "test"):
        touch(root / split / "emu", "1.png", "2.png")
    with pytest.raises(DataError, match=r"dataset\.classes: new emu"):
        divide(dataset(root), first.record)
    with pytest.raises(DataError, match=r"other classes than .*: new emu"):
        divide(dataset(root, classes=["cat", "dog", "emu"]), first.record)


@pytest.mark.parametrize("side", ["val", "train"])
def test_a_class_without_images_on_one_side_is_refused_with_the_remedy(root, side):
    first = divide(dataset(root))
    for image in first.images[side]:
        if "/dog/" in image.key:
            Path(image.path).unlink()
    kind = "validation" if side == "val" else "training"
    with pytest.raises(DataError, match=rf"no {kind} image is left of class dog .* put the files"):
        divide(dataset(root), first.record)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"val_split": 0.5}, "dataset.val_split 0.25 -> 0.5"),
        ({"seed": 7}, "dataset.seed 42 -> 7"),
        ({"val_split": None}, "dataset.val_split 0.25 -> null"),
        (
            {"val_split": None, "folds": 3},
            "dataset.val_split 0.25 -> null, dataset.folds null -> 3",
        ),
    ],
)
def test_another_fraction_or_seed_draws_the_split_anew_and_says_so(root, keys, text):
    first = divide(dataset(root))
    again = divide(dataset(root, **keys), first.record)
    assert again.images == divide(dataset(root, **keys)).images
    assert again.changes[0].startswith(f"the validation split is drawn anew ({text}): ")


def test_without_val_split_there_is_a_record_of_the_list(root):
    first = divide(dataset(root, val_split=None))
    assert set(first.images) == {"train", "test"}
    assert first.record.cuts == ()
    touch(root / "test" / "cat", "2.png")
    again = divide(dataset(root, val_split=None, seed=7), first.record)
    assert "since the training began: test 2 -> 3; those" in again.changes[0]


def test_a_class_of_one_image_is_refused_by_name(root):
    for split in ("train", "test"):
        touch(root / split / "emu", "1.png")
    with pytest.raises(DataError, match="at least 2 images of every class, found 1 of class emu"):
        divide(dataset(root))


def legacy(**keys) -> SplitRecord:
    return SplitRecord(seed=42, fraction=0.25, by_position=True, **keys)


def test_a_training_without_a_record_keeps_its_split_by_position(root):
    """The positions are those that version 0.1 held out: a stored result."""
    split = divide(dataset(root), legacy())
    assert val_of(root, split) == {
        *(f"train/cat/{number}.png" for number in (5, 7, 12, 16, 18)),
        *(f"train/dog/{number}.png" for number in (5, 6, 13, 15, 16)),
    }
    assert split.record == legacy(
        classes=("cat", "dog"),
        sizes={"train": 30, "val": 10, "test": 2},
        fingerprints=split.record.fingerprints,
    )
    assert divide(dataset(root), split.record).images == split.images


def test_a_split_by_position_is_refused_once_the_list_has_changed(root):
    record = divide(dataset(root), legacy()).record
    touch(root / "train" / "cat", "new.png")
    with pytest.raises(DataError, match=r"have changed .* put the files back, or begin anew"):
        divide(dataset(root), record)


def test_a_training_without_a_record_ignores_a_folder_val_beside_test(root):
    for name in ("cat", "dog"):
        touch(root / "val" / name, "1.png")
    split = divide(dataset(root), legacy())
    assert len(split.images["val"]) == 10


def test_another_fold_of_a_record_is_said(root):
    first = divide(dataset(root, val_split=None, folds=4))
    assert first.record.fold == 0
    assert first.record.sizes == {"train": 40, "test": 2}
    again = divide(dataset(root, val_split=None, folds=4, fold=3), first.record)
    assert again.changes == (
        "another fold is held out (dataset.fold 0 -> 3): images that were trained are now "
        "validated",
    )
    assert replace(again.record, fold=0) == first.record
    shared = replace(first.record, fold=None)
    assert divide(dataset(root, val_split=None, folds=4, fold=3), shared).changes == ()


def test_the_folds_of_one_record_partition_the_training_set_also_after_files_came(root):
    record = replace(divide(dataset(root, val_split=None, folds=4)).record, fold=None)
    before = {}
    for fold in range(4):
        divided = divide(dataset(root, val_split=None, folds=4, fold=fold), record)
        before |= dict.fromkeys(val_of(root, divided), fold)
    touch(root / "train" / "cat", *(f"new{number}.png" for number in range(30)))
    after = []
    for fold in range(4):
        divided = divide(dataset(root, val_split=None, folds=4, fold=fold), record)
        assert "train 40 -> 70, " not in divided.changes[0]
        assert "train 40 -> 70; those" in divided.changes[0]
        after.append(val_of(root, divided))
        assert {name for name in after[fold] if "new" not in name} == {
            name for name, of in before.items() if of == fold
        }
    assert sum(map(len, after)) == len(set().union(*after)) == 70


def test_the_record_keeps_the_test_set_when_the_validation_split_is_drawn_anew(root):
    shutil.rmtree(root / "test")
    first = divide(dataset(root, test_split=0.2))
    touch(root / "train" / "cat", *(f"new{number}.png" for number in range(30)))
    again = divide(dataset(root, test_split=0.2, seed=7), first.record)
    old = {image for image in again.images["test"] if "new" not in image.key}
    assert old == set(first.images["test"])
    assert again.record.test_cuts == first.record.test_cuts
    assert "drawn anew (dataset.seed 42 -> 7): images that were trained may" in again.changes[0]
    tested = first.record.of_test_set()
    keys = {"val_split": None, "test_split": 0.2}
    assert divide(dataset(root, **keys), tested).images["test"] == again.images["test"]


def test_too_few_images_for_the_folds_are_refused_by_class_name(root):
    with pytest.raises(DataError) as caught:
        divide(dataset(root, val_split=None, folds=21))
    assert str(caught.value) == (
        "dataset.folds needs at least 21 images of every class, found 20 of class cat, 20 of "
        "class dog"
    )


def test_a_record_of_images_without_new_settings_is_stored_as_before(root):
    assert set(divide(dataset(root)).record.to_dict()) == {
        *("seed", "fraction", "classes", "cuts", "sizes", "fingerprints", "by_position"),
    }


def test_a_data_set_without_a_test_set_or_with_two_is_refused():
    listing = listing_of([{"1", "2"}, {"1", "2"}])
    with pytest.raises(DataError, match=r"test_split must be set, e\.g\. to 0\.2, because"):
        check_test_set(dataset(Path("root")), listing)
    listing.splits["test"] = listing.splits["train"]
    check_test_set(dataset(Path("root")), listing)
    with pytest.raises(DataError, match=r"test_split must be null, because there are test"):
        check_test_set(dataset(Path("root"), test_split=0.2), listing)

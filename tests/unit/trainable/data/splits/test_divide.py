"""An image of a folder keeps its side of the validation split, whatever files come or go."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.image_folders import touch
from trainable.artifacts.checkpoint import to_cpu
from trainable.config import ImageFolderDataset
from trainable.data.listing import ListedImage, Listing
from trainable.data.splits.divide import divide, draw_record, hold_out
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
    record = draw_record(listing, seed=42, fraction=0.25)
    assert record.cuts == (1840080179492837371, 5512858596705149412, 14242398438893093564)
    held_out = [image.key for image in hold_out(listing, record)[1]]
    assert held_out == ["train/cat/1.png", "train/dog/2.png", "train/\u00e9mu/a b.jpg"]


def test_the_hash_depends_on_path_and_seed_but_not_on_the_form_of_unicode():
    assert image_hash("train/\u00e9mu/1.png", 1) == image_hash("train/e\u0301mu/1.png", 1)
    assert image_hash("train/cat/1.png", 1) != image_hash("train/cat/1.png", 2)
    assert image_hash("train/cat/1.png", 1) != image_hash("train/dog/1.png", 1)


file_names = st.sets(st.text("abc0123", min_size=1, max_size=4), min_size=2, max_size=30)


@given(
    old=st.lists(file_names, min_size=2, max_size=4),
    data=st.data(),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=40, deadline=None)
def test_no_image_ever_changes_its_side(old, data, fraction, seed):
    """For any list, fraction and seed, and after any additions and removals."""
    listing = listing_of(old)
    record = draw_record(listing, seed=seed, fraction=fraction)
    trained, held_out = hold_out(listing, record)
    sides = {image: "train" for image in trained} | {image: "val" for image in held_out}
    for label, names in enumerate(old):
        held = sum(image.label == label for image in held_out)
        assert held == min(max(1, round(fraction * len(names))), len(names) - 1)
    new = [
        (names - data.draw(st.sets(st.sampled_from(sorted(names))))) | data.draw(file_names)
        for names in old
    ]
    try:
        again = hold_out(listing_of(new), SplitRecord.from_dict(record.to_dict()))
    except DataError:  # a class has no image on one of the sides any more
        return
    for images, side in zip(again, ("train", "val"), strict=True):
        assert {sides.get(image, side) for image in images} == {side}
    assert sum(map(len, again)) == sum(map(len, new))


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


@pytest.mark.parametrize("keys", [{"val_split": 0.5}, {"seed": 7}, {"val_split": None}])
def test_another_fraction_or_seed_draws_the_split_anew_and_says_so(root, keys):
    first = divide(dataset(root))
    again = divide(dataset(root, **keys), first.record)
    assert again.images == divide(dataset(root, **keys)).images
    assert again.changes[0].startswith(
        "the validation split is drawn anew (dataset.val_split 0.25"
    )


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

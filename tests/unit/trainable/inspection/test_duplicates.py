"""Images that occur twice, byte for byte or nearly."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from trainable.inspection import duplicates
from trainable.inspection.duplicates import (
    difference_hash,
    digest_files,
    find_near,
    group_equal,
)


def picture(seed: int, side: int = 96) -> Image.Image:
    """Smooth blobs, which are as hard to tell apart as photographs are."""
    coarse = np.random.default_rng(seed).integers(256, size=(6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def test_equal_digests_are_grouped() -> None:
    assert group_equal([b"a", None, b"b", b"a", None, b"c", b"b", b"a"]) == [[0, 3, 7], [2, 6]]


def test_only_files_of_a_shared_size_are_read(tmp_path: Path) -> None:
    contents = [b"one", b"two", b"one", b"four", b"longest"]
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    digests = digest_files([*map(str, paths), str(tmp_path / "gone")], 2)
    assert [digest is None for digest in digests] == [False, False, False, True, True, True]
    assert digests[0] == digests[2] != digests[1]


def test_a_picture_is_near_to_its_variants_and_to_no_other(tmp_path: Path) -> None:
    original = picture(0)
    original.save(tmp_path / "x.jpg", quality=40)
    variants = [
        Image.open(tmp_path / "x.jpg"),
        original.resize((61, 61)),
        ImageEnhance.Brightness(original).enhance(0.7),
    ]
    others = [picture(seed) for seed in range(1, 20)]
    hashes = [difference_hash(image) for image in [original, *variants, *others]]
    assert set(find_near(hashes)) == {(a, b) for b in range(4) for a in range(b)}


def test_flat_and_missing_images_resemble_nothing() -> None:
    flat = difference_hash(Image.new("RGB", (64, 64), "grey"))
    assert list(find_near([flat, flat, None, None])) == []


def test_pairs_are_those_of_a_comparison_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    rng = np.random.default_rng(0)
    base = int(rng.integers(2**63)) | 2**63
    hashes = [base ^ sum(1 << int(bit) for bit in rng.choice(64, 2)) for _ in range(40)]
    expected = {
        (a, b)
        for b in range(40)
        for a in range(b)
        if (hashes[a] ^ hashes[b]).bit_count() <= duplicates.MAX_DISTANCE
    }
    assert expected
    pairs = list(find_near(hashes))
    assert set(pairs) == expected
    assert len(pairs) == len(expected)


def test_of_very_many_images_only_equal_ones_are_paired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRED", 3)
    value = 0x0F0F0F0F0F0F0F0F
    assert list(find_near([value, value ^ 1, value, value])) == [(0, 2), (0, 3)]

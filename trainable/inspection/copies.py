"""Lines on images that occur twice: with two classes, across splits, inside a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainable.inspection.entries import Entry

MAX_EXAMPLES = 3
"""Images or pairs that a line names."""


def describe_equal(
    entries: Sequence[Entry], classes: Sequence[str], groups: Sequence[Sequence[int]]
) -> Iterator[str]:
    """Yields lines on images with the same content: with two classes, across splits, inside."""
    with_two = [group for group in groups if len({entries[i].label for i in group}) > 1]
    if with_two:
        first = [
            " = ".join(f"{entries[i].name} ({classes[entries[i].label]})" for i in group[:2])
            for group in with_two[:MAX_EXAMPLES]
        ]
        yield (
            f"{_count(len(with_two), 'picture has', 'pictures have')} more than one class, which "
            f"no model can learn: {_join(first, len(with_two))}"
        )
    for split in ("test", "val"):
        yield from _describe_leak(entries, groups, split)
    inside = [
        (split, len(of_split))
        for group in groups
        for split, of_split in _by_split(entries, group).items()
        if len(of_split) > 1
    ]
    for split in dict.fromkeys(split for split, _ in inside):
        numbers = [number for of, number in inside if of == split]
        yield (
            f"{sum(numbers) - len(numbers)} images of {split} are copies of others of it "
            f"({_count(len(numbers), 'picture', 'pictures')})"
        )


def _describe_leak(
    entries: Sequence[Entry], groups: Sequence[Sequence[int]], split: str
) -> Iterator[str]:
    leaked = [
        (of_split[split], of_split["train"])
        for of_split in (_by_split(entries, group) for group in groups)
        if split in of_split and "train" in of_split
    ]
    if not leaked:
        return
    count = sum(len(tested) for tested, _ in leaked)
    total = sum(entry.split == split for entry in entries)
    first = [
        f"{entries[tested[0]].name} = {entries[trained[0]].name}"
        for tested, trained in leaked[:MAX_EXAMPLES]
    ]
    yield describe_leak(split, count, total, _join(first, len(leaked)))


def describe_leak(split: str, count: int, total: int, examples: str) -> str:
    """Returns a line on images that are trained and evaluated."""
    return (
        f"{count} of {total} {split} images ({count / total:.1%}) are also training images, byte "
        f"for byte, so that the score is too good; remove them from one side: {examples}"
    )


def describe_near(entries: Sequence[Entry], pairs: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Yields lines on pairs of images that look nearly the same."""
    across = [pair for pair in pairs if len({entries[i].split for i in pair}) > 1]
    for of_kind, kind in ((across, "across splits"), (pairs, "in all")):
        if of_kind and (kind == "across splits" or len(pairs) > len(across)):
            first = [f"{entries[a].name}, {entries[b].name}" for a, b in of_kind[:MAX_EXAMPLES]]
            yield (
                f"{_count(len(of_kind), 'pair', 'pairs')} of nearly equal images {kind}: "
                f"{_join(first, len(of_kind))}"
            )


def _by_split(entries: Sequence[Entry], group: Sequence[int]) -> dict[str, list[int]]:
    splits: dict[str, list[int]] = {}
    for position in group:
        splits.setdefault(entries[position].split, []).append(position)
    return splits


def _join(examples: Sequence[str], count: int) -> str:
    return "; ".join(examples) + ("; ..." if count > len(examples) else "")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"

"""The command that shows augmented training images: preview."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import FINISHED, PATH, SET_IN_SEARCH, exits, writing
from sweeps.terminal.console import print_line, print_note

DEFAULT_OUTPUT = Path("preview.png")
DEFAULT_IMAGES = 8


@click.command()
@click.argument("search_file", type=PATH)
@SET_IN_SEARCH
@click.option(
    "--trial",
    "number",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Number of the draw, as in sweep plan; 0 by default.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=DEFAULT_OUTPUT,
    metavar="FILE",
    help="The PNG file; preview.png by default. One that exists is replaced.",
)
@click.option(
    "--images",
    type=click.IntRange(1, 64),
    default=DEFAULT_IMAGES,
    metavar="N",
    help="Number of images; 8 by default.",
)
@exits
def preview(
    search_file: Path, assignments: tuple[str, ...], number: int, output: Path, images: int
) -> int:
    """Writes a picture of augmented training images.

    Its rows are training images of the data that SEARCH_FILE names. The first column has them as
    they are, the others as the first epochs of a trial draw them with its `augment` section, with
    the labels that mixup and cutmix give them.

    Example: sweep preview configs/search.yaml --trial 3 --output trial3.png
    """
    from sweeps.planning.plan import draw_of_trial
    from sweeps.spec.load import load_search
    from sweeps.spec.overrides import parse_assignments
    from sweeps.spec.search_spec import SearchSpec

    spec = load_search(search_file, parse_assignments(assignments, SearchSpec))
    values, is_fixed = draw_of_trial(spec, number)
    config = spec.trial_config(values, number)
    from trainable.experiment.preview import write_preview

    with writing(output):
        write_preview(config, output, images=images)
    for key, value in values.items():
        if key.partition(".")[0] in ("augment", "dataset"):
            print_line(f"{key}: {value}")
    if not is_fixed:
        print_note(f"the values of draw {number} depend on results of earlier trials")
    print_line(f"wrote {output}")
    return FINISHED

"""A grid of images with captions."""

import numpy as np
from PIL import Image

from trainable.inspection.picture import LINE_HEIGHT, MARGIN, MAX_SIDE, MIN_SIDE, Cell, draw_grid


def test_images_stand_in_rows_and_small_ones_are_enlarged() -> None:
    colours = [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255)]]
    rows = [[Cell(Image.new("RGB", (8, 8), c), ["name"]) for c in row] for row in colours]
    picture = np.asarray(draw_grid(rows))
    step_x, step_y = MIN_SIDE + MARGIN, MIN_SIDE + LINE_HEIGHT + MARGIN
    assert picture.shape == (MARGIN + 2 * step_y, MARGIN + 2 * step_x, 3)
    for y, row in enumerate(colours):
        for x, colour in enumerate(row):
            top, left = MARGIN + y * step_y, MARGIN + x * step_x
            cell = picture[top : top + MIN_SIDE, left : left + MIN_SIDE]
            assert (cell == colour).all()
            caption = picture[top + MIN_SIDE : top + MIN_SIDE + LINE_HEIGHT, left:]
            assert caption.min() < 128
    assert (picture[MARGIN + step_y :, MARGIN + step_x :] == 255).all()


def test_large_images_keep_their_shape() -> None:
    picture = draw_grid([[Cell(Image.new("RGB", (2000, 500)), ["x" * 500])]], ["heading"])
    assert picture.width == MAX_SIDE + 2 * MARGIN
    assert picture.height == MAX_SIDE // 4 + 2 * LINE_HEIGHT + 2 * MARGIN

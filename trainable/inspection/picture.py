"""Draws a grid of images with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

MIN_SIDE, MAX_SIDE = 96, 224
"""Pixels of an image in the picture; smaller ones are enlarged by whole factors."""
MARGIN = 8
LINE_HEIGHT = 16
FONT_SIZE = 13


@dataclass(frozen=True)
class Cell:
    """An image of the picture."""

    image: Image.Image
    caption: Sequence[str]
    """Lines below the image."""


def draw_grid(rows: Sequence[Sequence[Cell]], headings: Sequence[str] = ()) -> Image.Image:
    """Returns a picture of rows of images.

    Args:
        rows: The images; rows may be of different lengths.
        headings: A line above each column, if any.
    """
    scaled = [[_scale(cell.image) for cell in row] for row in rows]
    width = max(image.width for row in scaled for image in row)
    columns, top = max(map(len, rows)), MARGIN + LINE_HEIGHT * bool(headings)
    lines = max(len(cell.caption) for row in rows for cell in row)
    heights = [
        max(image.height for image in images) + lines * LINE_HEIGHT + MARGIN for images in scaled
    ]
    size = (MARGIN + columns * (width + MARGIN), top + sum(heights))
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_SIZE)
    for column, heading in enumerate(headings):
        draw.text((MARGIN + column * (width + MARGIN), MARGIN // 2), heading, "black", font)
    for images, cells, height in zip(scaled, rows, heights, strict=True):
        tallest = height - lines * LINE_HEIGHT - MARGIN
        for column, (image, cell) in enumerate(zip(images, cells, strict=True)):
            left = MARGIN + column * (width + MARGIN)
            picture.paste(image, (left, top))
            for line, text in enumerate(cell.caption):
                below = top + tallest + line * LINE_HEIGHT
                draw.text((left, below), _fit(text, width, font), "black", font)
        top += height
    return picture


def _fit(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shortens a text to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _scale(image: Image.Image) -> Image.Image:
    """Returns an image in the size of the picture's cells."""
    longest = max(image.size)
    if longest > MAX_SIDE:
        image = image.copy()
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        return image
    factor = max(1, -(-MIN_SIDE // longest))
    size = (image.width * factor, image.height * factor)
    return image.resize(size, Image.Resampling.NEAREST)

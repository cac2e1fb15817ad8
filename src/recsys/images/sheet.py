"""A contact sheet: pictures in a grid with captions, for people to look at."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from recsys.artifacts.files import write_atomically
from recsys.errors import ImageRejected
from recsys.images.decoding import ImageLimits
from recsys.images.loading import load

_LIMITS = ImageLimits(max_bytes=64_000_000, max_pixels=100_000_000)
_PICTURE = (150, 200)
_PADDING, _GAP, _MARGIN = 10, 12, 24
_CAPTION_LINES, _LINE_HEIGHT, _CAPTION_SIZE = 3, 17, 13
_TITLE_SIZE, _TITLE_HEIGHT = 22, 46
_CELL = (
    _PICTURE[0] + 2 * _PADDING,
    _PICTURE[1] + 2 * _PADDING + _CAPTION_LINES * _LINE_HEIGHT + 6,
)
_PAPER, _CARD, _EDGE = "#f1f2f4", "#ffffff", "#d9dce1"
_INK, _FAINT, _ACCENT = "#22262d", "#9aa1ac", "#d9480f"

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    cells: Sequence[tuple[bytes, str]],
    columns: int,
    out: Path,
    title: str = "",
    *,
    highlighted: Collection[int] = (),
) -> None:
    """Write a PNG that shows each cell's picture (JPEG, PNG or WebP bytes) and caption.

    Captions wrap and are cut after three lines. ``highlighted`` cells, by position, are
    framed: queries among answers. Bytes that cannot be decoded are shown as a crossed box,
    so that a sheet of quarantined products can be looked at.

    Raises
    ------
    ValueError
        No cells, or fewer than one column.
    """
    if not cells or columns < 1:
        raise ValueError(f"a contact sheet needs cells and columns, not {len(cells)} and {columns}")
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    top = _MARGIN + (_TITLE_HEIGHT if title else 0)
    sheet = Image.new(
        "RGB", (_span(columns, _CELL[0]), top - _MARGIN + _span(rows, _CELL[1])), _PAPER
    )
    draw = ImageDraw.Draw(sheet)
    if title:
        font = ImageFont.load_default(size=_TITLE_SIZE)
        room = sheet.width - 2 * _MARGIN
        draw.text((_MARGIN, _MARGIN - 4), _cut(title, font, room), fill=_INK, font=font)
    caption_font = ImageFont.load_default(size=_CAPTION_SIZE)
    for position, (data, caption) in enumerate(cells):
        row, column = divmod(position, columns)
        corner = (_MARGIN + column * (_CELL[0] + _GAP), top + row * (_CELL[1] + _GAP))
        _draw_cell(sheet, draw, corner, data, position in highlighted)
        _draw_caption(draw, corner, caption, caption_font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    write_atomically(out, buffer.getvalue())


def _span(cells: int, size: int) -> int:
    return 2 * _MARGIN + cells * size + (cells - 1) * _GAP


def _draw_cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    data: bytes,
    is_highlighted: bool,
) -> None:
    left, top = corner
    draw.rounded_rectangle(
        (left, top, left + _CELL[0] - 1, top + _CELL[1] - 1),
        radius=8,
        fill=_CARD,
        outline=_ACCENT if is_highlighted else _EDGE,
        width=4 if is_highlighted else 1,
    )
    left, top = left + _PADDING, top + _PADDING
    right, bottom = left + _PICTURE[0], top + _PICTURE[1]
    try:
        sheet.paste(Image.fromarray(load(data, *_PICTURE, _LIMITS)), (left, top))
    except ImageRejected:
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_FAINT)
        draw.line((left, top, right - 1, bottom - 1), fill=_FAINT)
        draw.line((left, bottom - 1, right - 1, top), fill=_FAINT)


def _draw_caption(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], caption: str, font: _Font
) -> None:
    left = corner[0] + _PADDING
    top = corner[1] + 2 * _PADDING + _PICTURE[1]
    for number, line in enumerate(_wrap(caption, font, _PICTURE[0])):
        draw.text((left, top + number * _LINE_HEIGHT), line, fill=_INK, font=font)


def _wrap(text: str, font: _Font, room: float) -> list[str]:
    """At most `_CAPTION_LINES` lines, each no wider than ``room`` pixels; newlines are kept."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > room:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    if len(lines) > _CAPTION_LINES:
        lines = [*lines[: _CAPTION_LINES - 1], f"{lines[_CAPTION_LINES - 1]} …"]
    return [_cut(line, font, room) for line in lines]


def _cut(text: str, font: _Font, room: float) -> str:
    """The text, shortened with an ellipsis where it is wider than ``room`` pixels."""
    if font.getlength(text) <= room:
        return text
    text = text[:200].removesuffix("…")
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text.rstrip()}…"

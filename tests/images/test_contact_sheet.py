from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from images.pictures import encoded, quarters
from recsys.images import contact_sheet


def opened(path: Path) -> Image.Image:
    with Image.open(path) as sheet:
        sheet.load()
    return sheet


def test_a_sheet_shows_every_cell_in_a_grid(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    cells = [(encoded(quarters()), f"product {number}") for number in range(5)]
    contact_sheet(cells, 3, out, "Neighbours")
    sheet = opened(out)
    contact_sheet(cells, 5, out, "Neighbours")
    flat = opened(out)
    assert sheet.format == "PNG"
    assert sheet.width < flat.width
    assert sheet.height > flat.height
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_the_query_is_framed(tmp_path: Path) -> None:
    cells = [(encoded(quarters()), "query"), (encoded(quarters()), "neighbour")]
    contact_sheet(cells, 2, tmp_path / "plain.png")
    contact_sheet(cells, 2, tmp_path / "framed.png", highlighted=[0])
    accent = (0xD9, 0x48, 0x0F)
    colours = [
        {colour for _, colour in opened(tmp_path / name).getcolors(1 << 20)}
        for name in ("plain.png", "framed.png")
    ]
    assert [accent in seen for seen in colours] == [False, True]


def test_what_cannot_be_decoded_or_written_in_ascii_is_still_shown(tmp_path: Path) -> None:
    caption = "ungewöhnlich " + "lang" * 200
    contact_sheet([(b"junk", caption), (b"", "")], 4, tmp_path / "sheet.png", "t" * 500)
    assert opened(tmp_path / "sheet.png").width > 300


def test_a_sheet_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs cells and columns"):
        contact_sheet([], 3, tmp_path / "sheet.png")

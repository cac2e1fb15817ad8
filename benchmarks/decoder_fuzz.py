"""Fuzz the picture decoder: damaged JPEG, PNG and WebP files, in processes with hard limits.

    python benchmarks/decoder_fuzz.py --cases 200000
    python benchmarks/decoder_fuzz.py --cases 200000 --delivery FOLDER   # damages real pictures

Every case is made from its seed and number alone. Whatever the bytes, `decode` has to give
pixels within the limits or raise `ImageRejected`. Anything else is a finding: another
exception, a crash, a case that takes longer than ``--seconds``, or memory above
``--memory-mib`` on top of what the process had at its start. Findings are kept under
``--keep``; the last line is JSON; the exit status is 1 when there is any finding.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recsys.errors import ImageRejected
from recsys.images import ImageLimits, decode

_CHUNK_CASES = 5_000
_REAL_PICTURES = 200
_EDGES = (0, 1, 2, 0x7F, 0x80, 0xD8, 0xD9, 0xDA, 0xFE, 0xFF)
_WEIRD_NUMBERS = (0, 1, 0xFFFF, 0x7FFF, 0x8000, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000)
_MARKERS = (0x00, 0x01, 0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xCC, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD)
_PNG_START = b"\x89PNG\r\n\x1a\n"


def main() -> None:
    """Run the cases, print the figures."""
    arguments = _arguments()
    if arguments.first is not None:
        _run_chunk(arguments)
        return
    figures = _run(arguments)
    print(json.dumps(figures, indent=1))
    sys.exit(1 if figures["findings"] else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--delivery", type=Path, help="a catalog folder whose pictures to damage")
    parser.add_argument("--seconds", type=int, default=10, help="most seconds for one picture")
    parser.add_argument("--memory-mib", type=int, default=256, help="most memory on top")
    parser.add_argument("--max-pixels", type=int, default=4_000_000)
    parser.add_argument("--keep", type=Path, default=Path(".recsys/decoder_fuzz"))
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


# The parent: starts processes, counts, keeps what is found.


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    outcomes: Counter[str] = Counter()
    slowest, peak, first = 0.0, 0.0, 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        _write_originals(scratch, arguments.delivery)
        while first < arguments.cases:
            count = min(_CHUNK_CASES, arguments.cases - first)
            status = _child(arguments, scratch, first, count)
            chunk = json.loads((scratch / "figures.json").read_bytes())
            done, bad = chunk["done"], chunk["bad"]
            if status:
                bad[_death(status)] = 1
                number, _, data = (scratch / "current").read_bytes().partition(b" ")
                done = int(number) + 1 - first
                _keep(arguments.keep, data)
            for path in scratch.glob("bad-*"):
                _keep(arguments.keep, path.read_bytes())
                path.unlink()
            outcomes.update(chunk["outcomes"])
            outcomes.update({f"FINDING: {reason}": times for reason, times in bad.items()})
            slowest, peak = max(slowest, chunk["slowest"]), max(peak, chunk["peak_mib"])
            first += done
            print(f"{first:>9,} cases, {sum(bad.values())} findings", file=sys.stderr, flush=True)
    return {
        "cases": first,
        "seed": arguments.seed,
        "outcomes": dict(sorted(outcomes.items())),
        "findings": sum(n for reason, n in outcomes.items() if reason.startswith("FINDING")),
        "slowest_seconds": round(slowest, 3),
        "peak_mib_on_top": round(peak, 1),
        "max_pixels": arguments.max_pixels,
        "wall_seconds": round(time.monotonic() - started, 1),
    }


def _child(arguments: argparse.Namespace, scratch: Path, first: int, count: int) -> int:
    options = {
        "--cases": count,
        "--seed": arguments.seed,
        "--seconds": arguments.seconds,
        "--memory-mib": arguments.memory_mib,
        "--max-pixels": arguments.max_pixels,
        "--first": first,
        "--scratch": scratch,
    }
    words = [str(word) for pair in options.items() for word in pair]
    _write_figures(scratch, 0, Counter(), Counter(), 0.0, 0.0)
    return subprocess.run([sys.executable, __file__, *words], check=False).returncode


def _death(status: int) -> str:
    if status == -signal.SIGALRM:
        return "hang"
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit {status}"


def _keep(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


# The child: makes cases and decodes them under limits.


def _run_chunk(arguments: argparse.Namespace) -> None:
    scratch: Path = arguments.scratch
    originals = [path.read_bytes() for path in sorted((scratch / "originals").iterdir())]
    limits = ImageLimits(8_000_000, arguments.max_pixels)
    for original in originals[:20]:  # loads Pillow's plug-ins before memory is measured
        decode(original, limits)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    outcomes, bad = Counter[str](), Counter[str]()
    slowest, base = 0.0, _peak_mib()
    for case in range(arguments.first, arguments.first + arguments.cases):
        data = make_case(arguments.seed, case, originals)
        (scratch / "current").write_bytes(b"%d %s" % (case, data))
        signal.alarm(arguments.seconds)  # ends the process, in the midst of C code too
        started = time.perf_counter()
        outcome = _outcome(data, limits)
        slowest = max(slowest, time.perf_counter() - started)
        signal.alarm(0)
        if outcome.startswith("!"):
            bad[outcome] += 1
            (scratch / f"bad-{case}").write_bytes(data)
        else:
            outcomes[outcome] += 1
        if _peak_mib() - base > arguments.memory_mib:
            bad[f"! more than {arguments.memory_mib} MiB"] += 1
            (scratch / f"bad-{case}").write_bytes(data)
        done = case + 1 - arguments.first
        if done % 100 == 0 or done == arguments.cases or bad:
            _write_figures(scratch, done, outcomes, bad, slowest, _peak_mib() - base)
        if bad:  # the peak does not fall again: go on in a fresh process
            return


def _outcome(data: bytes, limits: ImageLimits) -> str:
    """What became of a picture; a finding starts with ``!``."""
    kind = {b"\xff\xd8": "JPEG", b"\x89P": "PNG", b"RI": "WebP"}.get(data[:2], "other")
    try:
        pixels = decode(data, limits)
    except ImageRejected:
        return f"{kind} rejected"
    except (Exception, Warning) as error:  # noqa: BLE001 - to be counted is all they are for
        return f"! {kind} {type(error).__name__}: {error}"[:120]
    fits = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    within = 0 < pixels.shape[0] * pixels.shape[1] <= limits.max_pixels
    return f"{kind} decoded" if fits and within else f"! {kind} gave {pixels.shape}"


def _peak_mib() -> float:
    """The most that was resident in this program; getrusage would count the parent too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024


def _write_figures(
    scratch: Path,
    done: int,
    outcomes: Counter[str],
    bad: Counter[str],
    slowest: float,
    peak_mib: float,
) -> None:
    figures = {
        "done": done,
        "outcomes": outcomes,
        "bad": bad,
        "slowest": slowest,
        "peak_mib": peak_mib,
    }
    (scratch / "figures.json").write_text(json.dumps(figures))


# The originals and what is done to them.


def _write_originals(scratch: Path, delivery: Path | None) -> None:
    folder = scratch / "originals"
    folder.mkdir()
    for number, data in enumerate(itertools.chain(_drawn_originals(), _real_originals(delivery))):
        (folder / f"{number:05d}").write_bytes(data)


def _drawn_originals() -> Iterator[bytes]:
    """Small pictures in every mode and flavour that the decoder accepts."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 4), np.uint8)
    pixels[:20] = (200, 30, 90, 128)
    picture = Image.fromarray(pixels)
    rgb = picture.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("RGB", "L", "CMYK"):
        for options in ({}, {"progressive": True}, {"exif": exif.tobytes()}, {"quality": 98}):
            yield _encoded(rgb.convert(mode), "JPEG", **options)
    yield _encoded(rgb, "JPEG", subsampling=0, restart_marker_blocks=2)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        grey16 = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        source = grey16 if mode == "I;16" else (picture if mode == "RGBA" else rgb.convert(mode))
        yield _encoded(source, "PNG")
    yield _encoded(rgb.convert("P"), "PNG", transparency=3)
    yield _encoded(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)])
    for source in (rgb, picture):
        yield _encoded(source, "WEBP")
        yield _encoded(source, "WEBP", lossless=True)
        yield _encoded(source, "WEBP", exif=exif.tobytes())
        yield _encoded(source, "WEBP", save_all=True, append_images=[source.rotate(180)])


def _real_originals(delivery: Path | None) -> Iterator[bytes]:
    if delivery is not None:
        from recsys.catalog import open_delivery

        pictures = open_delivery(delivery, max_image_bytes=8_000_000).images()
        yield from (data for _, data in itertools.islice(pictures, _REAL_PICTURES))


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def make_case(seed: int, case: int, originals: list[bytes]) -> bytes:
    """The damaged picture of this number."""
    rng = random.Random(f"{seed}:{case}")  # noqa: S311 - to be repeated, not to be secret
    data = bytearray(rng.choice(originals))
    png = data.startswith(_PNG_START)
    if png and rng.random() < 0.3:
        data = _damage_inflated(rng, data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        rng.choice(_DAMAGES)(rng, data, originals)
    if png and rng.random() < 0.7:  # else most damage ends at a checksum
        data = _with_checksums(data)
    return bytes(data)


def _place(rng: random.Random, data: bytearray) -> int:
    """Anywhere, but more often near the start, where the headers are."""
    bound = len(data) if rng.random() < 0.5 else min(len(data), 700)
    return rng.randrange(max(1, bound))


def _set_byte(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    place = _place(rng, data)
    data[place : place + 1] = bytes([rng.choice((rng.randrange(256), *_EDGES))])


def _flip_bit(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    place = _place(rng, data)
    data[place : place + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[place:][:1])


def _set_number(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    place, size = _place(rng, data), rng.choice((2, 3, 4))
    order: Any = rng.choice(("big", "little"))
    number = rng.choice(_WEIRD_NUMBERS) & ((1 << 8 * size) - 1)
    data[place : place + size] = number.to_bytes(size, order)


def _cut(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    del data[_place(rng, data) :]


def _remove(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    place = _place(rng, data)
    del data[place : place + rng.choice((1, 2, 4, 12, 100))]


def _repeat(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    place = _place(rng, data)
    piece = data[place : place + rng.choice((1, 4, 12, 40, 400))]
    data[place:place] = piece * rng.choice((1, 2, 30))


def _insert_marker(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    place = _place(rng, data)
    length = rng.choice((b"", b"\x00\x02", b"\x00\x00", b"\xff\xff"))
    data[place:place] = bytes([0xFF, rng.choice(_MARKERS)]) + length


def _splice(rng: random.Random, data: bytearray, originals: list[bytes]) -> None:
    other = rng.choice(originals)
    start = rng.randrange(len(other))
    place = _place(rng, data)
    data[place : place + rng.choice((0, 50))] = other[start : start + rng.choice((10, 100, 5_000))]


_DAMAGES: tuple[Callable[[random.Random, bytearray, list[bytes]], None], ...] = (
    _set_byte,
    _set_byte,
    _flip_bit,
    _flip_bit,
    _set_number,
    _set_number,
    _cut,
    _remove,
    _repeat,
    _insert_marker,
    _splice,
)


def _chunks(png: bytearray) -> Iterator[tuple[bytes, bytes]]:
    position = len(_PNG_START)
    while position + 8 <= len(png):
        (length,) = struct.unpack_from(">I", png, position)
        yield bytes(png[position + 4 : position + 8]), bytes(png[position + 8 :][:length])
        position += 12 + length


def _joined(chunks: Iterator[tuple[bytes, bytes]]) -> bytearray:
    data = bytearray(_PNG_START)
    for kind, content in chunks:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        data += struct.pack(">I", len(content)) + kind + content + checksum
    return data


def _with_checksums(data: bytearray) -> bytearray:
    return _joined(_chunks(data)) if data.startswith(_PNG_START) else data


def _damage_inflated(rng: random.Random, data: bytearray) -> bytearray:
    """Damage the pixels of a sound PNG behind its compression."""

    def damaged(kind: bytes, content: bytes) -> bytes:
        if kind != b"IDAT":
            return content
        rows = bytearray(zlib.decompress(content))
        rng.choice(_DAMAGES)(rng, rows, [content])
        return zlib.compress(bytes(rows))

    return _joined((kind, damaged(kind, content)) for kind, content in _chunks(data))


if __name__ == "__main__":
    main()

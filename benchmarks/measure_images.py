"""Full measure of real images by `recsys.validation.measure_images` and by cleanvision.

Both read the same files, on the same machine, in turns, each time in a process of its own;
medians are told. Some of the images are blurred, black or white copies that the benchmark
plants, and it counts which of them each one finds, and what each says of the others.

    python benchmarks/measure_images.py IMAGES --cleanvision-python OTHER/bin/python

IMAGES is a folder of images or of tars of images. cleanvision needs other versions than
the platform: give it an environment of its own (``pip install cleanvision``).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, ImageFilter

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
PLANTED = ("blurred", "black", "white")
MAX_BYTES, MAX_PIXELS = 8_000_000, 40_000_000

# Each times the measuring alone: imports and start-up are not counted. `run` is what it times.
_CLOCK = """
import json, resource, sys, time
def used():
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF,
                                                         resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
def timed(run):
    seconds, cpu = time.perf_counter(), used()
    found = run()
    return found, time.perf_counter() - seconds, used() - cpu
"""
_CLEANVISION = (
    _CLOCK
    + """
from contextlib import redirect_stdout
from pathlib import Path
from cleanvision import Imagelab
def run():
    lab = Imagelab(data_path=sys.argv[1])
    lab.find_issues()
    return lab.issues
if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        issues, seconds, cpu = timed(run)
    flags = [name for name in issues.columns if name.startswith("is_") and name.endswith("_issue")
             and "duplicates" not in name]
    flagged = {Path(path).name: [name[3:-6] for name in flags if row[name]]
               for path, row in issues.iterrows()}
    print(json.dumps({"seconds": seconds, "cpu": cpu, "images": len(issues), "flagged": flagged}))
"""
)
_OURS = (
    _CLOCK
    + """
from pathlib import Path
from recsys.images import ImageLimits
from recsys.validation import measure_images
files = sorted(Path(sys.argv[1]).iterdir())
limits = ImageLimits(max_bytes=int(sys.argv[2]), max_pixels=int(sys.argv[3]))
table, seconds, cpu = timed(
    lambda: measure_images(((path.name, path.read_bytes()) for path in files), limits)
)
table.to_json(sys.argv[4], orient="records")
print(json.dumps({"seconds": seconds, "cpu": cpu, "images": len(table)}))
"""
)


@dataclass(frozen=True)
class Timing:
    """Medians over the repetitions, for one of the two."""

    images: int
    seconds: float
    cpu_seconds: float

    @property
    def images_per_second(self) -> float:
        """By the wall clock."""
        return self.images / self.seconds


def main() -> None:
    """Measure and tell."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="measure-images-") as scratch:
        folder = Path(scratch) / "images"
        folder.mkdir()
        _lay_out(options.images, folder, options.count)
        planted = _plant(folder, options.planted, options.seed)
        ours, theirs = [], []
        table = Path(scratch) / "measures.json"
        for _ in range(options.repeat):
            limits = [str(MAX_BYTES), str(MAX_PIXELS), str(table)]
            ours.append(_run([sys.executable, "-c", _OURS, str(folder), *limits]))
            if options.cleanvision_python:
                script = Path(scratch) / "with_cleanvision.py"
                script.write_text(_CLEANVISION)
                theirs.append(_run([options.cleanvision_python, str(script), str(folder)]))
        _tell_timing("recsys", _timing(ours))
        _tell_found("recsys", _flagged(json.loads(table.read_text()), options.suite), planted)
        if theirs:
            _tell_timing("cleanvision", _timing(theirs))
            _tell_found("cleanvision", theirs[-1]["flagged"], planted)
            _tell_ratio(_timing(ours), _timing(theirs))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="recsys' measures against cleanvision's")
    parser.add_argument("images", type=Path, help="a folder of images or of tars of images")
    parser.add_argument("--count", type=int, default=5_000, help="images to take (0: all)")
    parser.add_argument("--planted", type=int, default=20, help="planted images of each kind")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; medians are told")
    parser.add_argument("--seed", type=int, default=20, help="which images are planted from")
    parser.add_argument("--cleanvision-python", default="", help="a Python that has cleanvision")
    parser.add_argument(
        "--suite",
        type=Path,
        default=Path(__file__).resolve().parents[1] / "expectations" / "product_rows.json",
        help="the suite whose bounds on measures flag an image",
    )
    return parser.parse_args()


def _lay_out(source: Path, folder: Path, count: int) -> None:
    """Copy the first images, by name in each tar or folder, to one flat folder."""
    for name, data in islice(_images(source), count or None):
        (folder / name).write_bytes(data)


def _images(source: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path.name, path.read_bytes()
        elif path.suffix == ".tar":
            with tarfile.open(path) as tar:
                for member in tar:
                    stream = tar.extractfile(member) if member.isfile() else None
                    name = PurePosixPath(member.name).name
                    if stream and PurePosixPath(name).suffix.lower() in SUFFIXES:
                        yield name, stream.read()


def _plant(folder: Path, each: int, seed: int) -> dict[str, str]:
    """Add blurred, black and white images; returns file name → kind."""
    draw = random.Random(seed)  # noqa: S311  (a choice of test images)
    chosen = draw.sample(sorted(folder.iterdir()), each * len(PLANTED))
    planted = {}
    for place, path in enumerate(chosen):
        kind = PLANTED[place % len(PLANTED)]
        picture = Image.open(path).convert("RGB")
        name = f"planted-{kind}-{path.stem}.jpg"
        _faulty(picture, kind).save(folder / name, quality=95)
        planted[name] = kind
    return planted


def _faulty(picture: Image.Image, kind: str) -> Image.Image:
    if kind == "blurred":
        return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 20))
    return Image.new("RGB", picture.size, kind)


def _run(command: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _timing(runs: list[dict[str, Any]]) -> Timing:
    return Timing(
        images=runs[0]["images"],
        seconds=statistics.median(run["seconds"] for run in runs),
        cpu_seconds=statistics.median(run["cpu"] for run in runs),
    )


def _flagged(rows: list[dict[str, Any]], suite: Path) -> dict[str, list[str]]:
    """File name → the codes of the suite's bounds that its measures break."""
    bounds = list(_bounds(suite))
    return {
        row["path"]: [code for code, column, low, high in bounds if not low <= row[column] <= high]
        if row["decodes"]
        else ["undecodable"]
        for row in rows
    }


def _bounds(suite: Path) -> Iterator[tuple[str, str, float, float]]:
    """(code, measure, least, most) of each bound that sets a product aside."""
    for entry in json.loads(suite.read_text())["expectations"]:
        if entry["type"] != "expect_column_values_to_be_between" or entry["severity"] != "critical":
            continue
        kwargs = entry["kwargs"]
        low, high = kwargs.get("min_value", -math.inf), kwargs.get("max_value", math.inf)
        yield entry["code"], kwargs["column"], low, high


def _tell_timing(who: str, timing: Timing) -> None:
    print(
        f"{who:<12} {timing.images_per_second:8.0f} images/s {timing.seconds:7.2f} s"
        f" {timing.cpu_seconds:7.2f} CPU s   ({timing.images} images)"
    )


def _tell_found(who: str, flagged: dict[str, list[str]], planted: dict[str, str]) -> None:
    parts = []
    for kind in PLANTED:
        names = [name for name, planted_kind in planted.items() if planted_kind == kind]
        parts.append(f"{kind} {sum(bool(flagged[name]) for name in names)} of {len(names)}")
    others = [reasons for name, reasons in flagged.items() if name not in planted]
    alarms = 1_000 * sum(map(bool, others)) / len(others)
    print(f"{who:<12} found {', '.join(parts)}; flagged {alarms:.1f} in 1,000 of the others")


def _tell_ratio(ours: Timing, theirs: Timing) -> None:
    print(
        f"recsys measures {ours.images_per_second / theirs.images_per_second:.1f} times as many"
        f" images a second, for {ours.cpu_seconds / theirs.cpu_seconds:.2f} of the CPU time"
    )


if __name__ == "__main__":
    main()

"""Names, paths and references that every adapter accepts, and the errors for the others.

The rules are Pachyderm's, so that what the embedded store takes can move there unchanged,
and what a file system can hold, so that every commit can be materialised.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from recsys import names
from recsys.errors import CommitNotFound, InvalidInputs, InvalidName, InvalidPath

# What an adapter must keep inside a commit beside the files stands here.
RESERVED = "/.recsys"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
# What Pachyderm takes for a commit's id, and for nothing else.
UUID4 = re.compile(r"[0-9a-f]{12}4[0-9a-f]{19}")
# Printable ASCII without the characters that Pachyderm's globs give a meaning.
_REFUSED = r"/*?\[\]{}!()@+^\x00-\x1f\x7f-\U0010ffff"
_PART = rf"(?!\.{{1,2}}(?:/|\Z))[^{_REFUSED}]{{1,255}}"
_PATH = re.compile(rf"(?:/{_PART})+")
_PREFIX = re.compile(rf"/|(?:/{_PART})+/?")
_PATH_MAX_CHARACTERS = 1024


def check_name(what: str, name: str) -> str:
    """Return the name of a repo or branch, or raise `InvalidName`."""
    if _NAME.fullmatch(name) is None:
        raise InvalidName(f"{what} {name[:80]!r}: allowed are 1 to 63 of A-Z a-z 0-9 _ -")
    if what == "branch" and UUID4.fullmatch(name):
        raise InvalidName(f"branch {name!r}: 32 hex digits like these name commits")
    return name


def check_path(path: str) -> str:
    """Return a file's path, or raise `InvalidPath`."""
    if len(path) > _PATH_MAX_CHARACTERS or _PATH.fullmatch(path) is None:
        raise InvalidPath(f"path {path[:120]!r}: {_ALLOWED_PATHS}")
    if path == RESERVED or path.startswith(f"{RESERVED}/"):
        raise InvalidPath(f"path {path[:120]!r}: {RESERVED} is kept for the data store itself")
    return path


def check_prefix(prefix: str) -> str:
    """Return a prefix of paths, which may end in a slash, or raise `InvalidPath`."""
    if len(prefix) > _PATH_MAX_CHARACTERS or _PREFIX.fullmatch(prefix) is None:
        raise InvalidPath(f"prefix {prefix[:120]!r}: {_ALLOWED_PATHS}")
    return prefix


_ALLOWED_PATHS = (
    "allowed are /parts/of/printable ASCII without *?[]{}!()@+^, none empty, '.' or '..',"
    f" at most 255 characters each and {_PATH_MAX_CHARACTERS} together"
)


def split_ref(ref: str) -> tuple[str, str]:
    """Split ``repo@commit``, or raise `CommitNotFound`."""
    try:
        return names.parse_ref(ref)
    except ValueError as error:
        raise CommitNotFound(str(error)) from error


def check_inputs(
    repo: str, branch: str, inputs: Sequence[str], settled: Collection[str] | None
) -> list[str]:
    """The repos of a commit's inputs, in their order, or `InvalidInputs`.

    ``settled`` are the input repos that the branch had before, None for a new branch.
    """
    repos = [split_ref(ref)[0] for ref in inputs]
    if repo in repos:
        raise InvalidInputs(f"{repo}@{branch}: a repo is no input of itself")
    if len(set(repos)) != len(repos):
        raise InvalidInputs(f"{repo}@{branch}: one input for each repo, not {', '.join(inputs)}")
    if settled is not None and set(repos) != set(settled):
        raise InvalidInputs(
            f"{repo}@{branch} was given inputs from {', '.join(repos) or 'no repo'}; its inputs"
            f" are always from: {', '.join(settled) or 'none: it is a source'}. Use another branch"
        )
    return repos


def folders_of(path: str) -> Iterator[str]:
    """The folders above a path, nearest first, the root left out."""
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)

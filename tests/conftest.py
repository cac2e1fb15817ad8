"""Two workers share the tests: a file stays with one of them, and so does the first night."""

from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

# Its files look at one platform, in their order.
ONE_PLATFORM = PurePosixPath("tests/flow")


class ByFile(LoadScopeScheduling):
    # `--dist loadgroup` of pytest-xdist 3.8 groups nothing under pytest 9.2.
    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.split("::", 1)[0])
        return str(ONE_PLATFORM if path.parent == ONE_PLATFORM else path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker is left with a night at the end."""
    items.sort(key=lambda item: ("flow" not in item.path.parts, "shops" in item.path.parts))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    return ByFile(config, log)

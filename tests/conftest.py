"""Two workers share the tests; a file, or all that needs the first night, stays with one."""

import pytest


def pytest_itemcollected(item: pytest.Function) -> None:
    needs_first_night = "platform" in item.fixturenames and not hasattr(item.module, "platform")
    group = "first night" if needs_first_night else str(item.path)
    item.add_marker(pytest.mark.xdist_group(group))

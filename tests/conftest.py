"""Two workers share the tests; a file, or files with one first night, stay with one of them."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    sharing = {
        item.path
        for item in items
        if "platform" in item.fixturenames and not hasattr(item.module, "platform")
    }
    for item in items:
        group = "first night" if item.path in sharing else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))

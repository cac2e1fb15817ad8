"""Names are composed and parsed in one place."""

import pytest

from recsys import names


def test_a_commit_reference_survives_the_round_trip() -> None:
    ref = names.commit_ref("catalog", "0" * 32)
    assert names.parse_ref(ref) == ("catalog", "0" * 32)


@pytest.mark.parametrize("text", ["catalog", "catalog@", "catalog@xyz", "@" + "0" * 32])
def test_anything_else_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="not a commit reference"):
        names.parse_ref(text)


@pytest.mark.parametrize(
    "text", ["../etc", "r-", "r-0123", "R-0123456789abcdef", "r-0123456789abcde/"]
)
def test_only_a_release_id_is_taken_as_a_folder_name(text: str) -> None:
    assert not names.is_release_id(text)
    assert names.is_release_id(names.release_id("0123456789abcdef" * 4))

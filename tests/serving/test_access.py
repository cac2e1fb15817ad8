import pytest

from recsys.serving.access import Access

TOKEN = "0123456789abcdef"
ASKING = "/api/v1.0/predictions"


@pytest.mark.parametrize(
    ("authorization", "own_header", "admitted"),
    [
        (f"Bearer {TOKEN}", None, True),
        (f"bearer  {TOKEN} ", None, True),
        (None, TOKEN, True),
        ("Basic dTpw", TOKEN, True),
        (None, None, False),
        ("", "", False),
        ("Bearer", None, False),
        ("Bearer ", None, False),
        (f"Basic {TOKEN}", None, False),
        (TOKEN, None, False),
        (f"Bearer {TOKEN}0", None, False),
        (f"Bearer {TOKEN[:-1]}", None, False),
        ("Bearer wrong", TOKEN, False),
        ("Bearer é\udcff", None, False),
    ],
)
def test_only_the_very_token_is_let_in(authorization, own_header, admitted):
    assert Access(TOKEN).admits(ASKING, authorization, own_header) is admitted


def test_without_a_token_everybody_may_ask():
    assert Access("").open
    assert Access("").admits(ASKING, None, None)


@pytest.mark.parametrize(
    ("path", "open_to_all"),
    [
        ("/health/ping", True),
        ("/health/status", True),
        ("/openapi.json", True),
        ("/metadata", False),
        ("/predict", False),
        ("/health/../metadata", False),
        ("/health/ping/", False),
    ],
)
def test_probes_need_none(path, open_to_all):
    assert Access(TOKEN).admits(path, None, None) is open_to_all

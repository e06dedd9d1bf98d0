"""Which proxy a URL goes through: the variables as Go (kubectl) and curl read them."""

import pytest

from tallystick.errors import InvalidSettingError
from tallystick.kube.proxies import ALL_PROXY, checked_proxy, environment_proxy, without_password

PROXY = "http://proxy.example:3128"
NAME, ADDRESS, SIXTH = "https://api.east.example", "https://10.1.2.3:6443", "https://[2001:db8::7]:6443"


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        (NAME, {}, None),
        (NAME, {"HTTPS_PROXY": PROXY}, PROXY),
        (NAME, {"https_proxy": PROXY}, PROXY),
        (NAME, {"HTTPS_PROXY": "http://first.example:1", "https_proxy": PROXY}, "http://first.example:1"),
        (NAME, {"HTTPS_PROXY": "", "https_proxy": PROXY}, PROXY),
        (NAME, {"HTTP_PROXY": PROXY}, None),
        ("http://api.east.example", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://api.east.example", {"HTTPS_PROXY": PROXY}, None),
        (NAME, {"ALL_PROXY": PROXY}, None),
        (NAME, {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        (NAME, {"HTTPS_PROXY": "https://proxy.example"}, "https://proxy.example"),
    ],
)
def test_the_variable_of_the_scheme_names_the_proxy(url, variables, proxy):
    assert environment_proxy(url, variables) == proxy


def test_a_command_that_is_like_curl_reads_all_proxy_last():
    assert environment_proxy(NAME, {"all_proxy": PROXY}, fallback=ALL_PROXY) == PROXY
    assert environment_proxy(NAME, {"ALL_PROXY": "ftp://x", "https_proxy": PROXY}, fallback=ALL_PROXY) == PROXY


@pytest.mark.parametrize(
    "url",
    ["https://localhost:8443", "https://LOCALHOST", "https://127.0.0.1", "https://127.9.9.9:1", "https://[::1]:8443",
     "https://[::ffff:127.0.0.1]", "http://localhost.:80"],
)  # fmt: skip
def test_loopback_has_no_proxy(url):
    assert environment_proxy(url, {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY}) is None


@pytest.mark.parametrize(
    ("url", "exceptions", "direct"),
    [
        (NAME, "*", True),
        (NAME, "other.example", False),
        (NAME, "api.east.example", True),
        (NAME, "API.East.Example", True),
        (NAME, "east.example", True),
        (NAME, ".east.example", True),
        (NAME, "*.east.example", True),
        (NAME, "st.example", False),
        (NAME, ".api.east.example", False),
        (NAME, "api.east.example:443", True),
        (NAME, "api.east.example:6443", False),
        (NAME, " a.example , east.example ", True),
        (NAME, "a.example east.example", True),
        (NAME, ",,", False),
        (NAME, "10.0.0.0/8", False),
        (ADDRESS, "10.1.2.3", True),
        (ADDRESS, "10.1.2.3:6443", True),
        (ADDRESS, "10.1.2.3:443", False),
        (ADDRESS, "10.0.0.0/8", True),
        (ADDRESS, "10.1.2.3/8", True),
        (ADDRESS, "10.2.0.0/16", False),
        (ADDRESS, "10.0.0.0/99", False),
        (ADDRESS, "2001:db8::/32", False),
        (ADDRESS, "2.3", False),
        (SIXTH, "2001:db8::/32", True),
        (SIXTH, "2001:db8:0::7", True),
        (SIXTH, "[2001:db8::7]", True),
        (SIXTH, "[2001:db8::7]:6443", True),
        (SIXTH, "[2001:db8::7]:1", False),
        (SIXTH, "2001:db8::8", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_names_what_is_reached_directly(url, exceptions, direct, name):
    found = environment_proxy(url, {"HTTPS_PROXY": PROXY, name: exceptions})

    assert found == (None if direct else PROXY)


@pytest.mark.parametrize("value", ["socks5://me:word@proxy:1080", "ftp://proxy", "http://", "http://proxy:port", "://"])
def test_a_proxy_that_cannot_be_used_is_refused_by_the_name_of_its_setting(value):
    with pytest.raises(InvalidSettingError, match="HTTPS_PROXY") as refused:
        environment_proxy(NAME, {"HTTPS_PROXY": value})

    assert "word" not in str(refused.value)


def test_a_message_names_a_proxy_without_its_password():
    assert without_password(checked_proxy("http://me:word@proxy.example:3128", "x")) == PROXY

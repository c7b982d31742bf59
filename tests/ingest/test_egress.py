from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay import config
from camrelay.errors import ConfigError, EgressDenied
from camrelay.ingest.egress import MAX_URL_LENGTH, EgressPolicy, parse_camera_url


def policy(*allow: str) -> EgressPolicy:
    return EgressPolicy(config.Egress(allow=allow))


def is_allowed(allow: tuple[str, ...], address: str, port: int = 554) -> bool:
    try:
        policy(*allow).check(ip_address(address), port)
    except EgressDenied:
        return False
    return True


class TestUrl:
    @pytest.mark.parametrize(
        ("text", "tls", "host", "port", "target"),
        [
            ("rtsp://192.168.1.20/stream1", False, "192.168.1.20", 554, "/stream1"),
            ("rtsp://192.168.1.20:8554", False, "192.168.1.20", 8554, ""),
            ("RTSPS://cam.example./live?channel=1@2", True, "cam.example", 322, "/live?channel=1@2"),
            ("rtsp://cam_1.lan?x=1", False, "cam_1.lan", 554, "?x=1"),
            (
                "rtsp://[fd00::1]:554//Streaming/Channels/101",
                False,
                "[fd00::1]",
                554,
                "//Streaming/Channels/101",
            ),
            ("rtsp://Kamera-Hof/", False, "kamera-hof", 554, "/"),
        ],
    )
    def test_is_taken_apart(self, text: str, tls: bool, host: str, port: int, target: str) -> None:
        """Scheme, host, port with its default, and the rest as it is."""
        url = parse_camera_url(text)

        assert (tls, host, port, target) == (url.tls, url.host, url.port, url.target)
        assert (url.address is None) == (host[-1].isalpha())
        assert url.authority == f"{host}:{port}"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "192.168.1.20",
            "file:///etc/passwd",
            "concat:rtsp://10.0.0.1/",
            "http://10.0.0.1/",
            "rtmp://10.0.0.1/",
            "tcp://10.0.0.1/",
            "rtsp+tcp://10.0.0.1/",
            "-rtsp://10.0.0.1/",
            " rtsp://10.0.0.1/",
            "rtsp://10.0.0.1/\n",
            "rtsp://10.0.0.1/a\r\nSETUP x",
            "rtsp://10.0.0.1/a b",
            "rtsp://10.0.0.1\\@evil/",
            "rtsp://10.0.0.1/\x00",
            "rtsp://kamera-küche/",
            "rtsp://",
            "rtsp:///path",
            "rtsp://:554/",
            "rtsp://10.0.0.1:0/",
            "rtsp://10.0.0.1:65536/",
            "rtsp://10.0.0.1:port/",
            "rtsp://10.0.0.1:554:554/",
            "rtsp://-cam/",
            "rtsp://cam..lan/",
            f"rtsp://{'a' * 64}.lan/",
            f"rtsp://{'a.' * 127}lan/",
            f"rtsp://10.0.0.1/{'a' * MAX_URL_LENGTH}",
            "rtsp://fd00::1/",
            "rtsp://[fd00::1/",
            "rtsp://[]/",
            "rtsp://[10.0.0.1]/",
            "rtsp://[fe80::1%25eth0]/",
            "rtsp://[fe80::1%eth0]/",
        ],
    )
    def test_refuses_what_is_no_plain_camera_url(self, text: str) -> None:
        """Other schemes, control characters, missing hosts and zones (abuse case 44)."""
        with pytest.raises(ConfigError) as caught:
            parse_camera_url(text)
        assert len(text) < 8 or text not in str(caught.value)

    @pytest.mark.parametrize("userinfo", ["user:secret", "user", ":secret", "", "a@b"])
    def test_refuses_credentials_and_says_where_they_belong(self, userinfo: str) -> None:
        """In the URL they would be shown wherever it is; the error does not repeat them."""
        with pytest.raises(ConfigError) as caught:
            parse_camera_url(f"rtsp://{userinfo}@10.0.0.1/")
        assert "secret" not in str(caught.value)
        assert "password" in caught.value.hint

    @pytest.mark.parametrize(
        "host",
        [
            "127.1",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.01",
            "0x7f.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
        ],
    )
    def test_refuses_addresses_in_other_spellings(self, host: str) -> None:
        """Resolvers read them as addresses that nobody checked (abuse case 43)."""
        with pytest.raises(ConfigError, match="four decimal numbers"):
            parse_camera_url(f"rtsp://{host}/")

    @given(st.text(max_size=60))
    def test_any_text_is_taken_apart_or_refused(self, text: str) -> None:
        """Nothing but ConfigError leaves."""
        for candidate in (text, f"rtsp://{text}", f"rtsp://10.0.0.1/{text}"):
            try:
                url = parse_camera_url(candidate)
            except ConfigError:
                continue
            assert 1 <= url.port <= 65_535


class TestPolicy:
    @pytest.mark.parametrize("address", ["10.0.0.1", "172.16.5.5", "192.168.1.20", "fd12::1"])
    def test_private_networks_are_the_default(self, address: str) -> None:
        """Cameras live there (RFC 1918, RFC 4193)."""
        assert is_allowed((), address)

    @pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.64.0.1", "2606:4700::1111"])
    def test_everything_else_must_be_listed(self, address: str) -> None:
        """The internet is not the camera network."""
        assert not is_allowed((), address)
        assert is_allowed((f"{address}",), address)

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:1::1",
        ],
    )
    def test_special_addresses_are_refused_unless_listed_themselves(self, address: str) -> None:
        """No wide entry opens the host, its metadata service or a disguise of them (abuse case 43)."""
        assert not is_allowed((), address)
        assert not is_allowed(("0.0.0.0/0", "::/0", "fc00::/7"), address)
        assert is_allowed((address,), address)

    def test_loopback_is_opened_by_its_own_network(self) -> None:
        """For simulated cameras on the same machine."""
        assert is_allowed(("127.0.0.0/8",), "127.0.0.1")
        assert is_allowed(("10.0.0.0/8", "127.0.0.1:8554"), "127.0.0.1", 8554)
        assert not is_allowed(("10.0.0.0/8", "127.0.0.1:8554"), "127.0.0.1", 22)

    @pytest.mark.parametrize(
        ("entry", "address", "port", "expected"),
        [
            ("192.168.10.0/24:554,8554", "192.168.10.7", 8554, True),
            ("192.168.10.0/24:554,8554", "192.168.10.7", 80, False),
            ("192.168.10.0/24:554,8554", "192.168.11.7", 554, False),
            ("192.168.10.0/24", "192.168.10.7", 80, True),
            ("[fd00::/8]:554", "fd00::7", 554, True),
            ("[fd00::/8]:554", "fd00::7", 80, False),
            ("[fd00::/8]", "fd00::7", 80, True),
            ("fd00::/8", "fd00::7", 80, True),
        ],
    )
    def test_entries_are_networks_with_or_without_ports(
        self, entry: str, address: str, port: int, expected: bool
    ) -> None:
        """As the options' documentation says."""
        assert expected == is_allowed((entry,), address, port)

    @pytest.mark.parametrize(
        "entry",
        ["", "cameras", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:65536",
         "10.0.0.0/8:554,", "10.0.0.0/8:rtsp", "[fd00::/8", "fd00::/8:554:", "[[fd00::/8]]"],
    )  # fmt: skip
    def test_refuses_what_is_no_entry_and_says_how_to_write_one(self, entry: str) -> None:
        """An entry that is guessed at would open what nobody meant."""
        with pytest.raises(ConfigError) as caught:
            policy(entry)
        assert "192.168.10.0/24" in caught.value.hint

    @pytest.mark.parametrize(
        ("text", "denied"),
        [
            ("rtsp://127.0.0.1/", True),
            ("rtsp://[::1]/", True),
            ("rtsp://[::ffff:127.0.0.1]/", True),
            ("rtsp://169.254.169.254/latest", True),
            ("rtsp://localhost/", True),
            ("rtsp://LOCALHOST./", True),
            ("rtsp://cam.localhost:8554/", True),
            ("rtsp://10.0.0.1/", False),
            ("rtsp://camera.lan/", False),
        ],
    )
    def test_a_url_is_checked_as_far_as_it_tells(self, text: str, denied: bool) -> None:
        """Names wait for their addresses, except the ones that always mean this machine."""
        url = parse_camera_url(text)
        if denied:
            with pytest.raises(EgressDenied):
                policy().check_url(url)
        else:
            policy().check_url(url)

    def test_localhost_is_opened_with_loopback(self) -> None:
        """The name follows the address."""
        policy("127.0.0.0/8").check_url(parse_camera_url("rtsp://localhost:8554/cam1"))

"""What somebody who is invited reads, and when a letter is tried again."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from pathlib import Path

import msgspec
import pytest

import camrelay
from camrelay.mail.letter import GIVE_UP_US, Envelope, Letter, Links, compose, quoted, retry_us

WORDS = {
    language: json.loads((Path(camrelay.__file__).parent / f"web/words/{language}.json").read_text())["mail"]
    for language in ("en", "ru")
}
NOW_US = 1_795_262_400_000_000  # 2026-11-21 12:00:00 UTC
LINKS = Links(*(f"https://cams.example/{page}" for page in ("accept", "decline", "erase")))
ENVELOPE = Envelope("relay@cams.example", "https://cams.example")
LETTER = Letter("bert@post.example", "en", "Anna B.", "Front door", NOW_US + 60_000_000)


def made(letter: Letter) -> tuple[dict[str, str], str]:
    """Headers and text of a letter, as its reader gets them."""
    message = compose(letter, LINKS, ENVELOPE, WORDS[letter.language], id="9f86", now_us=NOW_US)
    read = message_from_bytes(message.as_bytes(policy=policy.SMTP), policy=policy.default)
    return {name: str(value) for name, value in read.items()}, read.get_content()


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("title", ["Front door", ""])
def test_a_letter_says_who_what_until_when_and_how_to_answer(language: str, title: str) -> None:
    """In both languages, about a camera and about an account; nothing is left unfilled."""
    headers, text = made(msgspec.structs.replace(LETTER, language=language, title=title))

    assert headers["To"] == "bert@post.example"
    assert headers["From"] == "camrelay <relay@cams.example>"
    assert headers["Message-ID"] == "<9f86@cams.example>"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Date"] == "Sat, 21 Nov 2026 12:00:00 +0000"
    assert headers["Content-Language"] == language
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["Subject"] == WORDS[language]["subject_camera" if title else "subject_account"]
    for part in ("Anna B", title, "2026-11-21 12:01 UTC", LINKS.accept, LINKS.decline, LINKS.erase):
        assert part in text
    assert "{" not in text


def test_case_74_what_people_wrote_is_no_header_and_no_link() -> None:
    """A line break stays out of the headers, an address of a page cannot be clicked, and much is cut."""
    evil = "Win!\r\nBcc: all@post.example\r\n\r\nhttps://evil.example/now www.evil.example " + "x" * 500
    headers, text = made(msgspec.structs.replace(LETTER, inviter=evil, title=evil))

    assert "Bcc" not in headers
    assert "evil.example" not in text
    assert "//evil" not in text
    assert "x" * 60 not in text


def test_somebody_without_a_name_invites_too() -> None:
    """A command line has none, and a name of signs alone is none."""
    assert "Somebody would like" in made(msgspec.structs.replace(LETTER, inviter="…"))[1]


def test_names_stay_readable() -> None:
    """Letters of every script, digits and the signs of names."""
    assert quoted("Иван  O'Neill-Smith (2 & 3)") == "Иван O'Neill-Smith (2 & 3)"


def test_a_letter_is_tried_again_ever_later_and_then_given_up() -> None:
    """After a minute, two, four, up to four hours; not beyond two days."""
    minute_us = 60_000_000
    assert [retry_us(n, NOW_US, NOW_US) for n in (1, 2, 3)] == [NOW_US + n * minute_us for n in (1, 2, 4)]
    assert retry_us(100, NOW_US, NOW_US) == NOW_US + 240 * minute_us
    assert retry_us(1, NOW_US, NOW_US + GIVE_UP_US - minute_us) is None

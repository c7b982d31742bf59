"""What does not fit a struct is named with its place and with what would fit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from camrelay.config_fault import Fault, dotted, misfit, unknown_keys


class Lens(msgspec.Struct, frozen=True):
    zoom: Annotated[int, Meta(ge=1, le=40)] = 1
    speed: Annotated[float, Meta(gt=0)] = 1.0
    ratio: float = 1.0


class Camera(msgspec.Struct, frozen=True):
    id: Annotated[str, Meta(pattern=r"^[a-z]+\Z")]
    title: Annotated[str, Meta(max_length=3)] = ""
    digest: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{2}\Z")] = "00"
    note: str = ""
    muted: bool = False
    mode: Literal["day", "night"] = "day"
    lens: Lens = Lens()
    tags: tuple[str, ...] = ()


class File(msgspec.Struct, frozen=True):
    camera: tuple[Camera, ...] = ()


@pytest.mark.parametrize(
    ("data", "path", "accepted"),
    [
        ({"camera": {}}, ("camera",), "tables, each headed by its name in double brackets"),
        ({"camera": [1]}, ("camera", 0), "a table"),
        ({"camera": [{"id": "A"}]}, ("camera", 0, "id"), "1 to 64 of a-z, 0-9, - and _"),
        (
            {"camera": [{"id": "a", "digest": "0"}]},
            ("camera", 0, "digest"),
            "64 hexadecimal digits",
        ),
        ({"camera": [{"id": "a", "title": "long"}]}, ("camera", 0, "title"), "text of at most 3 characters"),
        ({"camera": [{"id": "a", "note": 1}]}, ("camera", 0, "note"), "text"),
        ({"camera": [{"id": "a", "muted": 1}]}, ("camera", 0, "muted"), "true or false"),
        ({"camera": [{"id": "a", "mode": "x"}]}, ("camera", 0, "mode"), '"day" or "night"'),
        ({"camera": [{"id": "a", "tags": "x"}]}, ("camera", 0, "tags"), "a list of texts"),
        (
            {"camera": [{"id": "a"}, {"id": "b", "lens": {"zoom": 41}}]},
            ("camera", 1, "lens", "zoom"),
            "a whole number from 1 up to 40",
        ),
        ({"camera": [{"id": "a", "lens": {"speed": 0}}]}, ("camera", 0, "lens", "speed"), "a number over 0"),
        ({"camera": [{"id": "a", "lens": {"ratio": "x"}}]}, ("camera", 0, "lens", "ratio"), "a number"),
    ],
)
def test_a_misfit_names_its_place_and_what_is_accepted(data: Any, path: Any, accepted: str) -> None:
    """The whole accepted range is told, not only the bound that was crossed."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(data, File)

    fault = misfit(str(caught.value), File)

    assert fault.path == path
    assert fault.hint.startswith(f"accepted: {accepted}")


def test_a_missing_field_is_named() -> None:
    """The place is the table that lacks it."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"camera": [{}]}, File)

    assert misfit(str(caught.value), File) == Fault(("camera", 0), "needs id")


def test_unknown_keys_are_found_at_every_depth() -> None:
    """Each with the nearest known key, or with all of them when none is near; odd values do not hide them."""
    data = {"cameras": [], "camera": [{"id": "a", "lense": 1, "lens": {"xyz": 1}}, 5]}

    assert list(unknown_keys(data, File)) == [
        Fault(("cameras",), "is not an option", "did you mean camera?"),
        Fault(("camera", 0, "lense"), "is not an option", "did you mean lens?"),
        Fault(("camera", 0, "lens", "xyz"), "is not an option", "known: zoom, speed, ratio"),
    ]


def test_dotted_leaves_indexes_out() -> None:
    """The line tells which of many."""
    assert dotted(("camera", 3, "lens", "zoom")) == "camera.lens.zoom"

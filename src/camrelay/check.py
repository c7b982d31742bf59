"""What a configuration must also satisfy, and types cannot say: where its cameras may be.

Names are not looked up here: what the DNS answers is checked at every attempt to connect.
"""

from __future__ import annotations

import zoneinfo

from camrelay.config import Config
from camrelay.errors import ConfigError, EgressDenied
from camrelay.ingest.egress import EgressPolicy, parse_camera_url
from camrelay.toml_lines import Path, line_of


def check_cameras(options: Config, text: str) -> None:
    """Checks every camera's URL against [egress], and its time zone.

    Args:
        text: what `options` was read from; errors take their lines from it.

    Raises:
        ConfigError: with the line, and without the URL.
    """
    try:
        policy = EgressPolicy(options.egress)
    except ConfigError as e:
        raise _at(text, ("egress", "allow"), f"egress.allow: {e}", e.hint) from None
    # Without a time zone database on this machine there is nothing to compare with.
    zones = zoneinfo.available_timezones()
    for i, camera in enumerate(options.camera):
        try:
            policy.check_url(parse_camera_url(camera.url))
        except (ConfigError, EgressDenied) as e:
            hint = e.hint if isinstance(e, ConfigError) else ""
            raise _at(text, ("camera", i, "url"), f"camera {camera.id}: {e}", hint) from None
        if zones and camera.time_zone not in zones:
            message = f"camera {camera.id}: time_zone is not an IANA name, such as Europe/Madrid"
            raise _at(text, ("camera", i, "time_zone"), message)


def _at(text: str, path: Path, message: str, hint: str = "") -> ConfigError:
    return ConfigError(message, line=line_of(text, path), hint=hint)

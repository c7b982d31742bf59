"""The cameras that people register while camrelay runs.

Passwords are sealed before they get into the database and opened after, so a stolen database shows none.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from camrelay import config
from camrelay.database import SCHEMA, Database
from camrelay.errors import BadRequest, CameraExists, NotFound
from camrelay.news_store import change_rights
from camrelay.sealing import Seal

#: One row a camera; the columns are the fields of config.Camera but for the password, which is sealed.
CAMERAS = sa.Table(
    "cameras",
    SCHEMA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("sub_url", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("time_zone", sa.Text, nullable=False),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("sealed_password", sa.LargeBinary, nullable=False),
    sa.Column("transport", sa.Text, nullable=False),
    sa.Column("audio", sa.Boolean, nullable=False),
    sa.Column("connect", sa.Text, nullable=False),
    sa.Column("visibility", sa.Text, nullable=False),
    sa.Column("tls_fingerprint", sa.Text, nullable=False),
    sa.Column("onvif_port", sa.Integer, nullable=False),
    sa.Column("onvif_profile", sa.Text, nullable=False),
    sa.Column("tenant", sa.String(64), sa.ForeignKey("tenants.id"), nullable=False),
    #: Null where it is the operators' own.
    sa.Column("owner", sa.String(32), sa.ForeignKey("accounts.id"), index=True),
)


class CameraStore:
    """The table of cameras.

    Args:
        seal: closes and opens their passwords.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    async def cameras(self) -> list[config.Camera]:
        """Every stored camera, in the order they were added."""
        rows = await self._database.fetch(sa.select(CAMERAS).order_by(CAMERAS.c.position))
        return [self._camera(row) for row in rows]

    async def add_camera(self, camera: config.Camera) -> None:
        """Stores a new camera.

        Raises:
            CameraExists: its id is taken.
            BadRequest: its owner or its tenant does not exist.
        """
        position = sa.select(sa.func.coalesce(sa.func.max(CAMERAS.c.position), 0) + 1).scalar_subquery()
        taken = sa.select(CAMERAS.c.id).where(CAMERAS.c.id == camera.id)
        try:
            await change_rights(
                self._database, sa.insert(CAMERAS).values(position=position, **self._values(camera))
            )
        except IntegrityError:
            if await self._database.fetch(taken):
                raise CameraExists("a camera with this id is there already") from None
            raise BadRequest("no such owner") from None

    async def change_camera(self, camera: config.Camera) -> None:
        """Replaces what is stored of a camera.

        Raises:
            NotFound: it is not stored here.
            BadRequest: its owner or its tenant does not exist.
        """
        change = sa.update(CAMERAS).where(CAMERAS.c.id == camera.id).values(**self._values(camera))
        try:
            if not await change_rights(self._database, change):
                raise NotFound("no such camera")
        except IntegrityError:
            raise BadRequest("no such owner") from None

    async def remove_camera(self, camera_id: str) -> None:
        """Forgets a camera and its password.

        Raises:
            NotFound: it is not stored here.
        """
        if not await change_rights(self._database, sa.delete(CAMERAS).where(CAMERAS.c.id == camera_id)):
            raise NotFound("no such camera")

    def _values(self, camera: config.Camera) -> dict[str, Any]:
        values = {c.name: getattr(camera, c.name) for c in CAMERAS.c if hasattr(camera, c.name)}
        sealed = self._seal.close(camera.password, _password_of(camera.id))
        return values | {"sealed_password": sealed, "owner": camera.owner or None}

    def _camera(self, row: sa.RowMapping) -> config.Camera:
        values = {name: row[name] for name in config.Camera.__struct_fields__ if name in row}
        password = self._seal.open(row["sealed_password"], _password_of(row["id"]))
        return config.Camera(**values | {"password": password, "owner": row["owner"] or ""})


def _password_of(camera_id: str) -> str:
    return f"camera/{camera_id}/password"

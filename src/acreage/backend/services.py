"""Secondary web services: map tiles of process graphs, computed when they are asked for."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from acreage.backend.database.tables import ServiceRow
from acreage.backend.errors import (
    ServiceConfigInvalid,
    ServiceConfigUnsupported,
    ServiceNotFound,
    ServiceUnsupported,
)
from acreage.backend.jobs.store import now
from acreage.catalog.items import Bounds
from acreage.core.database import Database
from acreage.core.errors import ProcessGraphError
from acreage.engine.formats import output_format
from acreage.engine.parser import unwrap

TILE = 256
EDGE = 20_037_508.342789244  # metres, half the side of the square of EPSG:3857
DEEPEST = 22
TYPES = ("XYZ", "WMTS")
_DESCRIPTIONS = {
    "XYZ": "Tiles of 256 x 256 pixels in EPSG:3857, as PNG. Without `min` and `max` each has a scale of its "
    "own.",
    "WMTS": "OGC WMTS 1.0.0 by addresses (REST): the same tiles as XYZ.",
}


@dataclass(frozen=True)
class TilePlace:
    """A tile of the usual scheme: column and row from the north-west corner.

    Attributes:
        z: level.
        x, y: column and row.
    """

    z: int
    x: int
    y: int

    @property
    def resolution(self) -> float:
        """Metres a pixel."""
        return 2 * EDGE / (TILE << self.z)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in EPSG:3857."""
        side = self.resolution * TILE
        west, north = -EDGE + self.x * side, EDGE - self.y * side
        return west, north - side, west + side, north

    def touches(self, area: Bounds) -> bool:
        """Whether it has pixels of an area in EPSG:3857."""
        west, south, east, north = self.bounds
        return area[0] < east and west < area[2] and area[1] < north and south < area[3]

    @property
    def exists(self) -> bool:
        """Whether there is such a tile."""
        return 0 <= self.z <= DEEPEST and 0 <= self.x < 1 << self.z and 0 <= self.y < 1 << self.z


def service_types() -> dict[str, Any]:
    """For `GET /service_types`."""
    return {
        name: {
            "title": name,
            "description": _DESCRIPTIONS[name],
            "configuration": parameters(),
            "process_parameters": [],
            "links": [],
        }
        for name in TYPES
    }


def parameters() -> dict[str, Any]:
    """What can be configured: the options of PNG."""
    return output_format("PNG").parameters()


@dataclass(frozen=True)
class Services:
    """Services of all users.

    Attributes:
        database: of the server.
        folder: of tiles that were computed.
    """

    database: Database
    folder: Path
    _areas: dict[tuple[str, int], Bounds | None] = field(default_factory=dict)

    def area(self, row: ServiceRow, find: Callable[[], Bounds | None]) -> Bounds | None:
        """Where a service has pixels; found once."""
        key = row.id, row.changed
        if key not in self._areas:
            self._areas[key] = find()
        return self._areas[key]

    def existing(self, service_ids: Collection[str]) -> set[str]:
        """Those of these ids that are of services."""
        with self.database.read() as session:
            return set(session.scalars(select(ServiceRow.id).where(ServiceRow.id.in_(service_ids))))

    def create(self, user_id: str, fields: Mapping[str, Any]) -> ServiceRow:
        """A new service.

        Raises:
            ServiceUnsupported, ServiceConfigUnsupported, ServiceConfigInvalid, ProcessGraphMissing
        """
        kind = next((t for t in TYPES if t == str(fields.get("type", "")).upper()), None)
        if kind is None:
            raise ServiceUnsupported(
                f"There are no services of the type {fields.get('type')!r}.",
                hint=f"There are {', '.join(TYPES)}.",
            )
        unwrap(fields.get("process"))
        configuration = checked(fields.get("configuration") or {})
        row = ServiceRow(
            # Whoever knows the id may ask for tiles.
            id=f"s-{secrets.token_hex(16)}",
            user_id=user_id,
            title=fields.get("title"),
            description=fields.get("description"),
            type=kind,
            process=dict(fields["process"]),
            configuration=configuration,
            enabled=fields.get("enabled", True) is not False,
            plan=fields.get("plan"),
            budget=fields.get("budget"),
            created=now(),
            changed=0,
        )
        with self.database.write() as session:
            session.add(row)
        return row

    def get(self, user_id: str, service_id: str) -> ServiceRow:
        """A user's service.

        Raises:
            ServiceNotFound
        """
        with self.database.read() as session:
            return _service(session, user_id, service_id)

    def public(self, service_id: str) -> ServiceRow:
        """A service that is enabled, for whoever knows its id.

        Raises:
            ServiceNotFound
        """
        with self.database.read() as session:
            row = session.get(ServiceRow, service_id)
        if row is None or not row.enabled:
            raise ServiceNotFound(f"There is no service {service_id!r}.")
        return row

    def listed(self, user_id: str) -> list[ServiceRow]:
        """All services of a user, newest first."""
        query = select(ServiceRow).where(ServiceRow.user_id == user_id)
        with self.database.read() as session:
            return list(session.scalars(query.order_by(ServiceRow.created.desc(), ServiceRow.id)))

    def change(self, user_id: str, service_id: str, fields: Mapping[str, Any]) -> None:
        """Set what a request names; tiles are computed anew where they may be others.

        Raises:
            ServiceNotFound, ServiceConfigUnsupported, ServiceConfigInvalid, ProcessGraphMissing
        """
        values = {k: fields[k] for k in ("title", "description", "plan", "budget") if k in fields}
        if "process" in fields:
            unwrap(fields["process"])
            values["process"] = dict(fields["process"])
        if "configuration" in fields:
            values["configuration"] = checked(fields["configuration"] or {})
        if "enabled" in fields:
            values["enabled"] = bool(fields["enabled"])
        with self.database.write() as session:
            row = _service(session, user_id, service_id)
            for name, value in values.items():
                setattr(row, name, value)
            row.changed += 1
        self._forget(service_id)

    def delete(self, user_id: str, service_id: str) -> None:
        """Remove a service and its tiles.

        Raises:
            ServiceNotFound
        """
        with self.database.write() as session:
            session.delete(_service(session, user_id, service_id))
        self._forget(service_id)

    def tile_file(self, row: ServiceRow, place: TilePlace) -> Path:
        """Where a tile is kept."""
        return self.folder / row.id / str(row.changed) / f"{place.z}-{place.x}-{place.y}.png"

    def _forget(self, service_id: str) -> None:
        shutil.rmtree(self.folder / service_id, ignore_errors=True)


def _service(session: Session, user_id: str, service_id: str) -> ServiceRow:
    row = session.get(ServiceRow, service_id)
    if row is None or row.user_id != user_id:
        raise ServiceNotFound(f"There is no service {service_id!r}.")
    return row


def checked(configuration: Any) -> dict[str, Any]:
    """A configuration whose parameters exist and have values that they can take.

    Raises:
        ServiceConfigUnsupported, ServiceConfigInvalid
    """
    if not isinstance(configuration, Mapping):
        raise ServiceConfigInvalid("The configuration must be an object.")
    known = parameters()
    if unknown := sorted(set(configuration) - set(known)):
        raise ServiceConfigUnsupported(
            f"Services have no parameter {', '.join(unknown)}.", hint=f"They have {', '.join(known)}."
        )
    try:
        output_format("PNG").read_options(configuration)
    except ProcessGraphError as error:
        raise ServiceConfigInvalid(str(error)) from error
    return dict(configuration)


def tile_graph(
    process: Mapping[str, Any], configuration: Mapping[str, Any], place: TilePlace
) -> dict[str, Any]:
    """A process graph of predefined processes that computes one tile as PNG.

    What the graph itself saves is not saved: its data are what is shown.
    """
    flat = {k: dict(n) for k, n in unwrap(process)["process_graph"].items()}
    (result,) = [k for k, n in flat.items() if n.get("result")]
    shown: Any = {"from_node": result}
    if flat[result]["process_id"] == "save_result":
        shown = flat[result]["arguments"]["data"]
    flat = {k: n for k, n in flat.items() if n["process_id"] != "save_result"}
    for kept in flat.values():
        kept.pop("result", None)
    west, south, east, north = place.bounds
    extent = {"west": west, "south": south, "east": east, "north": north, "crs": 3857}

    def node(process_id: str, **arguments: Any) -> dict[str, Any]:
        return {"process_id": process_id, "arguments": arguments}

    resolution = place.resolution
    flat["tile_grid"] = node(
        "resample_spatial", data=shown, projection=3857, resolution=resolution, method="near"
    )
    flat["tile_area"] = node("filter_bbox", data={"from_node": "tile_grid"}, extent=extent)
    flat["tile_file"] = {
        **node("save_result", data={"from_node": "tile_area"}, format="PNG", options=dict(configuration)),
        "result": True,
    }
    return {"process_graph": flat}


def wmts_capabilities(row: ServiceRow, address: str) -> str:
    """The WMTS document of a service; `address` is that of its tiles, without the place."""
    from xml.sax.saxutils import escape

    title = escape(row.title or row.id)
    matrices = []
    for z in range(DEEPEST + 1):
        scale = 2 * EDGE / (TILE << z) / 0.00028
        matrices.append(
            f"<TileMatrix><ows:Identifier>{z}</ows:Identifier>"
            f"<ScaleDenominator>{scale:.10f}</ScaleDenominator>"
            f"<TopLeftCorner>{-EDGE} {EDGE}</TopLeftCorner><TileWidth>{TILE}</TileWidth>"
            f"<TileHeight>{TILE}</TileHeight><MatrixWidth>{1 << z}</MatrixWidth>"
            f"<MatrixHeight>{1 << z}</MatrixHeight></TileMatrix>"
        )
    template = escape(f"{address}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.png")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" version="1.0.0">'
        f"<ows:ServiceIdentification><ows:Title>{title}</ows:Title>"
        "<ows:ServiceType>OGC WMTS</ows:ServiceType>"
        "<ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>"
        f"<Contents><Layer><ows:Title>{title}</ows:Title><ows:Identifier>{row.id}</ows:Identifier>"
        '<Style isDefault="true"><ows:Identifier>default</ows:Identifier></Style>'
        "<Format>image/png</Format>"
        "<TileMatrixSetLink><TileMatrixSet>WebMercatorQuad</TileMatrixSet></TileMatrixSetLink>"
        f'<ResourceURL format="image/png" resourceType="tile" template="{template}"/></Layer>'
        "<TileMatrixSet><ows:Identifier>WebMercatorQuad</ows:Identifier>"
        "<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>"
        f"{''.join(matrices)}</TileMatrixSet></Contents></Capabilities>"
    )

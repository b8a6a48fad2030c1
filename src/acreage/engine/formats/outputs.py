"""The formats that results are written in."""

from __future__ import annotations

from acreage.engine.formats.model import FormatInfo

GTIFF = FormatInfo(
    "GTiff",
    "GeoTIFF, cloud-optimised (COG)",
    "Raster data cubes. One file a label of the dimension besides `bands`, `x` and `y`, usually a date: it "
    "is in the file's name and in its tag `datetime`. Bands are the file's bands, their names the band "
    "descriptions. Nulls have a value that no valid pixel has, NaN in files of floats. Only one dimension "
    "besides bands, x and y may have several labels.",
    ("raster",),
    {
        "compression": {
            "description": "How blocks are compressed.",
            "type": "string",
            "enum": ["deflate", "zstd", "lzw", "none"],
            "default": "deflate",
        },
        "overview_method": {
            "description": "How overviews are made: nearest or mode for classes, average for quantities.",
            "type": "string",
            "enum": ["nearest", "mode", "average", "bilinear", "cubic", "rms"],
            "default": "nearest",
        },
    },
    (("https://gdal.org/drivers/raster/cog.html", "GDAL on cloud-optimised GeoTIFF"),),
)
NETCDF = FormatInfo(
    "netCDF",
    "netCDF-4, CF conventions",
    "Every data cube, in one file: a variable a band, the other dimensions are the file's. Dates are seconds "
    "since 1970, x and y are pixel centres with the CRS in the variable `crs`, geometries of vector data "
    "cubes stand as WKT in `<dimension>_wkt`. Nulls are `_FillValue`; without compression, `missing_value`.",
    ("raster", "vector", "table"),
    {
        "compression": {
            "description": "deflate, or none: larger files that take less time to write.",
            "type": "string",
            "enum": ["deflate", "none"],
            "default": "deflate",
        }
    },
    (("https://cfconventions.org/", "CF conventions"),),
)
JSON = FormatInfo(
    "JSON",
    "JSON",
    "Small data cubes, numbers and arrays. A number as it is, an array as a list; a cube as an object with "
    "`dims`, `labels`, `data` (nested lists, null for null), `crs`, and for vector data cubes `geometries` "
    "and `properties`.",
    ("raster", "vector", "table", "other"),
    {},
    (("https://www.rfc-editor.org/rfc/rfc8259.html", "RFC 8259"),),
)
CSV = FormatInfo(
    "CSV",
    "Comma-separated values",
    "Small data cubes as a table: a row for each combination of labels, a column a band; nulls are empty.",
    ("raster", "vector", "table"),
    {},
    (("https://www.rfc-editor.org/rfc/rfc4180.html", "RFC 4180"),),
)
PARQUET = FormatInfo(
    "Parquet",
    "GeoParquet",
    "Vector data cubes: a row a geometry, a column for each property and for each combination of the labels "
    "of the other dimensions, joined by `_`. The CRS is the cube's own.",
    ("vector",),
    {},
    (("https://geoparquet.org/", "GeoParquet"),),
)

OUTPUTS: tuple[FormatInfo, ...] = (GTIFF, NETCDF, JSON, CSV, PARQUET)

"""The layout of a Sentinel-2 product folder (SAFE), and its metadata file."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from acreage.simulate.publish.products import BANDS_20M, BOA_OFFSET, OpticalProduct, compact, stamp

# Spectral bands by the number that metadata files use (Sentinel-2 Products Specification Document).
BAND_IDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
METADATA = "MTD_MSIL2A.xml"
_NAMESPACE = "https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd"


def image_path(product: OpticalProduct, band: str, suffix: str) -> str:
    """Path of a band, `SCL` included, below the archive's item folder."""
    metres = 20 if band in BANDS_20M or band == "SCL" else 10
    name = f"T{product.granule.tile}_{compact(product.sensed)}_{band}_{metres}m.{suffix}"
    return f"{product.safe}.SAFE/GRANULE/{product.granule_folder}/IMG_DATA/R{metres}m/{name}"


def metadata_path(product: OpticalProduct) -> str:
    """Path of the product's metadata below the archive's item folder."""
    return f"{product.safe}.SAFE/{METADATA}"


def write_metadata(path: Path, product: OpticalProduct) -> None:
    """Write the parts of `MTD_MSIL2A.xml` that say how digital numbers become reflectance."""
    p = product.processing
    ET.register_namespace("n1", _NAMESPACE)
    root = ET.Element(f"{{{_NAMESPACE}}}Level-2A_User_Product")
    general = ET.SubElement(root, f"{{{_NAMESPACE}}}General_Info")
    info = ET.SubElement(general, "Product_Info")
    for tag, text in (
        ("PRODUCT_START_TIME", stamp(product.sensed, 3)),
        ("PRODUCT_STOP_TIME", stamp(product.sensed, 3)),
        ("PRODUCT_URI", f"{product.safe}.SAFE"),
        ("PROCESSING_LEVEL", "Level-2A"),
        ("PRODUCT_TYPE", "S2MSI2A"),
        ("PROCESSING_BASELINE", p.baseline),
        ("GENERATION_TIME", stamp(p.generated)),
    ):
        ET.SubElement(info, tag).text = text
    take = ET.SubElement(info, "Datatake", datatakeIdentifier=product.datatake)
    for tag, text in (
        ("SPACECRAFT_NAME", product.satellite),
        ("DATATAKE_TYPE", "INS-NOBS"),
        ("DATATAKE_SENSING_START", stamp(product.sensed, 3)),
        ("SENSING_ORBIT_NUMBER", str(product.seen.relative_orbit)),
        ("SENSING_ORBIT_DIRECTION", product.seen.direction.upper()),
    ):
        ET.SubElement(take, tag).text = text
    image = ET.SubElement(general, "Product_Image_Characteristics")
    for text, index in (("NODATA", "0"), ("SATURATED", "65535")):
        special = ET.SubElement(image, "Special_Values")
        ET.SubElement(special, "SPECIAL_VALUE_TEXT").text = text
        ET.SubElement(special, "SPECIAL_VALUE_INDEX").text = index
    values = ET.SubElement(image, "QUANTIFICATION_VALUES_LIST")
    ET.SubElement(values, "BOA_QUANTIFICATION_VALUE", unit="none").text = "10000"
    if p.has_offset:
        offsets = ET.SubElement(image, "BOA_ADD_OFFSET_VALUES_LIST")
        for number in range(len(BAND_IDS)):
            ET.SubElement(offsets, "BOA_ADD_OFFSET", band_id=str(number)).text = str(-BOA_OFFSET)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)

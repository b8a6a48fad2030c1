"""Collections: STAC search, items to readable sources, band names, scale and offset."""

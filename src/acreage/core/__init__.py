"""What everyone shares: grids, time, cubes, legends, settings and the error tree."""

"""Ways to quantize, one file each: roundings, and transforms that make a weight easier to round."""

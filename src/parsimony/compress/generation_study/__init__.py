"""How ways to quantize change what a model writes, by temperature, top-k, length and seed."""

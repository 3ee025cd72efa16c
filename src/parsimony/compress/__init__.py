"""Store fewer parameters, in fewer bits: prune, retrain a sliver, quantize, export."""

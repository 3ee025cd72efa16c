"""Which mix of tensor, pipeline and data parallelism fits a cluster and trains a model fastest.

After Dash et al. 2023 (arXiv 2312.12705), who trained up to 1T parameters on Frontier. A plan is a
table, one row for each layout: ``layouts.plan`` makes it, and every other file fills in columns.
In the formulas L is the number of layers, h the width, a the heads, s the sequence, V the
vocabulary, b the micro-batch, m the micro-batches of a step, and t, p, d, v the degrees of tensor,
pipeline and data parallelism and the chunks of an interleaved pipeline stage.
"""

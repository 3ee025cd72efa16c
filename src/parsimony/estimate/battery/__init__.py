"""Internal parameters of a lithium-ion cell from one discharge curve.

``cell`` is the single-particle model, ``solver`` solves it, ``network`` and ``training`` teach a
small network its states and voltage for every parameter of a box, ``calibration`` infers the
parameters from a measured voltage.
"""

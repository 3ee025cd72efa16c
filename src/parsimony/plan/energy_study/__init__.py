"""A designed experiment on the energy of trainings: power, random order, meter, corrected tests."""

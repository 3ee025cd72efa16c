"""One file per energy meter, found by its name."""

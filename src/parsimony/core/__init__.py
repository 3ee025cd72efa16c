"""The shared services every area stands on. Importing this package loads no torch."""

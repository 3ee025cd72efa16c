"""Runs a layout of a plan for real, measures it, and gives the planner what it measured."""

"""Decide how many, on what: sizes, schedules, layouts and costs, before anything is spent."""

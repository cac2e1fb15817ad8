"""Nightly visual recommendations that are checked, traceable and can be undone."""

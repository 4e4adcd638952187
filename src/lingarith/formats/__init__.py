"""Vectors and compositions as folders that other programs write and read."""

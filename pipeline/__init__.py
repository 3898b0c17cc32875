"""Ray Data and Ray Train around the `muscaps` library."""

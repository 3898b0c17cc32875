"""Reading a finished output: export, search, report."""

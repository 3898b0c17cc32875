"""The networks of the paper, a file each."""

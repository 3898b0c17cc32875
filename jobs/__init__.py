"""What a person types: the `muscaps` command."""

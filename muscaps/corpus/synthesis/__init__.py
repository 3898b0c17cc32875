"""Synthesiser voices and drum machines in numpy: the electronic half of production music."""

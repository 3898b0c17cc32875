"""The paper's experiment and tables."""

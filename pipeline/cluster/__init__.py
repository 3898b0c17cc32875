"""Ray sessions and executions."""

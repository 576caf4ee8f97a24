"""The commands of ``softgrad``, one module for each."""

"""The problem that a fit solves: X and y validated, and the objective with its derivatives."""

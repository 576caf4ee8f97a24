"""Minimising the objective of a fit: the solvers, and the descent that they share."""

"""Reading tables of every file format, and turning their columns into features."""

"""The benchmark's arithmetic, and the number of calls that a statement makes."""

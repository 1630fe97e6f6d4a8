"""Which index finds the rows of a leaf, with which bounds, and in which wave."""

"""Plans that need less than the general way."""

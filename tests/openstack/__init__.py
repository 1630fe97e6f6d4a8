"""OpenStack's services on Rome: the kit that runs them, and their migrations."""

"""The statement loop: plan, read, hydrate, run, guard; commit and checked replay. The only layer that knows all parts."""

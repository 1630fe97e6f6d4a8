"""The statement loop: plan, read, hydrate, run, guard; commit; checked replay. The only layer that knows all parts."""

"""Runs statements in transactions: plan, read, hydrate, run, guard; commit; replay. Only this layer knows all parts.

Its rooms, from the top: session, observing, attempt, writing, reading, statement. `options` and `result` are for all.
"""

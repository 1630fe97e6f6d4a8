"""Statements in transactions, room by room as in `src/rome/engine`; here, beside the rooms, what concerns all of them:

isolation levels, internal exceptions, what stays open, and random histories beside stock SQLite.
"""

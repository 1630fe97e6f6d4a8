"""Statements that need less than all their rows: pages, rows shown as stored, counts, INSERT .. VALUES."""

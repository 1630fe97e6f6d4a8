"""From SQL text and catalog to a fetch plan: the stored rows that a statement needs, wave by wave.

docs/fetch-plan.md proves why the plan is large enough. `plan` is what the engine sees; `planning` puts the rooms
together: parse, algebra, access, shortcuts, report.
"""

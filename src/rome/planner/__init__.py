"""SQL text and catalog -> fetch plan: which stored rows a statement needs, wave by wave. docs/fetch-plan.md proves it.

`plan` is what the engine sees; `planning` puts the rooms together: parse, algebra, access, shortcuts, report.
"""

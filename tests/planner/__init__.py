"""From SQL to a fetch plan, room by room as in `src/rome/planner`; here, beside the rooms, whole plans."""

"""DragonFlow's northbound database on rome.kv; see README.md beside this file."""

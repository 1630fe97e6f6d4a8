"""The workloads: each a module with a function `run(stage)`, and what runs in the peers' own processes."""

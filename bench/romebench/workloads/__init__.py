"""The workloads. Each is a module with a function `run(stage)`, and with what runs in the peers' own processes."""

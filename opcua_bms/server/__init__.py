"""Binds the battery to `ua`: instances from the topology, snapshots to values, conditions to nodes and events."""

"""The plant in memory: topology, slots, quality, image, snapshot, alarms. Nothing here waits or reads a clock."""

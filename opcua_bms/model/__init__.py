"""The plant in memory: topology, slots, quality, image, snapshot, alarms. Pure data; nothing here waits or reads a clock."""

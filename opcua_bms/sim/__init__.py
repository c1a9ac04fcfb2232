"""A plant of batteries that exists in numbers only, its faults, and the real Modbus TCP servers in front of it."""

"""OPC UA services over asyncua: conformant, hardened and fast. Knows no battery; imports nothing of ours but errors."""

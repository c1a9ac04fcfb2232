"""The service sets of Part 4, complete where asyncua's are not."""

"""The information model as data: types, the binding of names to slots, instances of a topology, the flat JSON. Pure."""

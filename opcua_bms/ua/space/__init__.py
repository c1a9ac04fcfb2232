"""Instances described once by blueprint and family; nodes exist only while somebody looks at them."""

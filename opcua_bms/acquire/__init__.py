"""Reading the devices: one supervised task each, and one frozen image per period."""

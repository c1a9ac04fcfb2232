"""OPC UA server adapter for battery management systems of grid-scale storage plants."""

__version__ = "0.1.0"

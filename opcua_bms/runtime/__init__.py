"""Wiring: everything that runs is started, owned and ended here."""

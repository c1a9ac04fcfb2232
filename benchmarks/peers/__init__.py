"""Servers with the same variables: ours and those it is compared with, each a process of its own."""

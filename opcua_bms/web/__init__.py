"""The web page, its JSON API, health and metrics: a sink of snapshots that browsers look at."""

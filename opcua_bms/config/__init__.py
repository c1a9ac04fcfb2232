"""One TOML file → validated models → what the runtime is built from."""

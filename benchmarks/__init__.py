"""How fast: Nexmark queries beside DuckDB, what the engine adds to bare operators, start-up, file sources."""

"""Orchestration: Prefect decides when a stage runs; DVC owns the edges between stages and what is up to date."""

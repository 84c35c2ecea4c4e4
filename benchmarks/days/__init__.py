"""Two hundred days of a pipeline that runs by itself, in well under an hour: docs/results/days.json, docs/notebook/days.md.

`make days`; it goes on where it was stopped. Pictures of drawn shapes come in on some days, bad ones among them; every day the
flow `ingest` runs, under a real Prefect server, with DVC, Git and the stages as they are. Only the models are tiny.
"""

"""`make ablations`: the paper's claims, each decided by runs that differ in one thing and share their seed."""

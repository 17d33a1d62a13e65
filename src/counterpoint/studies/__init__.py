"""Studies: a paper's claims as runs that anybody can repeat."""

"""Table 1: its runs, shared among workers, and the table of what they came to."""

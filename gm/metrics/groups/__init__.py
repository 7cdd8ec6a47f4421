"""One module a metric group: `rows(run, rng)` turns a run's arrays into rows of the table."""

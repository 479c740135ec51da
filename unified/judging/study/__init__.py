"""A study: a file says what is compared, stages do it one after another, rows say how it came out."""

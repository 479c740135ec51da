"""One kind of data a file: `embed` turns it into tokens, `decode` turns tokens into a prediction."""

"""One modality per file: `embed` turns noisy data into tokens, `decode` turns tokens into a prediction."""

"""Faults made on purpose: malformed inputs, flipped bits, killed processes; what a command then says and keeps."""

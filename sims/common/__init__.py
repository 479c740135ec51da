"""What all environments share: the contract, cameras, renderers, scripted movement."""

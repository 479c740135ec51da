"""What environments share, whatever they show: the contract, cameras, renderers."""

"""The network: who sees whom in a sequence of tokens, the transformer that runs over it, and the diffusion process."""

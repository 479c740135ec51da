"""Names of the scenario families, apart from what they need: `sims` registers an environment for each at import."""

FAMILY_NAMES = ("follow",)

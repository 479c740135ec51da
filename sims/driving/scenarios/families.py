"""Names of the scenario families, apart from what they need: `sims` registers an environment for each at import."""

FAMILY_NAMES = (
    "keep-lane",
    "follow",
    "hard-brake",
    "jam",
    "cut-in",
    "cut-out",
    "lane-change",
    "merge",
    "left-turn",
    "right-of-way",
    "roundabout",
    "red-light",
    "pedestrian-crossing",
    "pedestrian-dart",
    "cyclist",
    "debris",
    "construction",
    "slippery",
    "low-sun",
    "fog",
)

"""The games by name, as data: importing this loads no simulator."""

GAMES = {
    "LightsOut": "sims.games.lights_out:LightsOutEnv",
    "Hanoi": "sims.games.hanoi:HanoiEnv",
    "Nim": "sims.games.nim:NimEnv",
    "Sliding": "sims.games.sliding:SlidingEnv",
    "Sokoban": "sims.games.sokoban:SokobanEnv",
}

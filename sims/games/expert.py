"""What the games' experts share."""

from sims.arm_expert import ArmExpert


class GameExpert(ArmExpert):
    """An expert whose slips go sideways and up: one that went down among the pieces would be a move of its own."""

    def _next(self) -> None:
        super()._next()
        self._slip_move[2] = abs(self._slip_move[2])

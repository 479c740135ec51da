"""Meta-World's 50 tasks as data: instruction, difficulty group, scripted expert.

Instructions and expert names are those of LeRobot's evaluation (`metaworld_config.json`, Apache-2.0), so that a policy
trained here is asked in the same words there; the four groups are those of arXiv:2506.01844 as LeRobot uses them.
"""

from typing import NamedTuple


class TaskInfo(NamedTuple):
    """One task.

    Attributes:
        instruction: what to do, in words.
        group: `easy`, `medium`, `hard` or `very_hard`.
        expert: name of the scripted policy's class in `metaworld.policies`.
    """

    instruction: str
    group: str
    expert: str


GROUPS = ("easy", "medium", "hard", "very_hard")

TASKS: dict[str, TaskInfo] = {
    "assembly-v3": TaskInfo("Pick up a nut and place it onto a peg", "hard", "SawyerAssemblyV3Policy"),
    "basketball-v3": TaskInfo("Dunk the basketball into the basket", "medium", "SawyerBasketballV3Policy"),
    "bin-picking-v3": TaskInfo(
        "Grasp the puck from one bin and place it into another bin", "medium", "SawyerBinPickingV3Policy"
    ),
    "box-close-v3": TaskInfo("Grasp the cover and close the box with it", "medium", "SawyerBoxCloseV3Policy"),
    "button-press-topdown-v3": TaskInfo("Press a button from the top", "easy", "SawyerButtonPressTopdownV3Policy"),
    "button-press-topdown-wall-v3": TaskInfo(
        "Bypass a wall and press a button from the top", "easy", "SawyerButtonPressTopdownWallV3Policy"
    ),
    "button-press-v3": TaskInfo("Press a button", "easy", "SawyerButtonPressV3Policy"),
    "button-press-wall-v3": TaskInfo("Bypass a wall and press a button", "easy", "SawyerButtonPressWallV3Policy"),
    "coffee-button-v3": TaskInfo("Push a button on the coffee machine", "easy", "SawyerCoffeeButtonV3Policy"),
    "coffee-pull-v3": TaskInfo("Pull a mug from a coffee machine", "medium", "SawyerCoffeePullV3Policy"),
    "coffee-push-v3": TaskInfo("Push a mug under a coffee machine", "medium", "SawyerCoffeePushV3Policy"),
    "dial-turn-v3": TaskInfo("Rotate a dial 180 degrees", "easy", "SawyerDialTurnV3Policy"),
    "disassemble-v3": TaskInfo("Pick a nut out of a peg", "very_hard", "SawyerDisassembleV3Policy"),
    "door-close-v3": TaskInfo("Close a door with a revolving joint", "easy", "SawyerDoorCloseV3Policy"),
    "door-lock-v3": TaskInfo("Lock the door by rotating the lock clockwise", "easy", "SawyerDoorLockV3Policy"),
    "door-open-v3": TaskInfo("Open a door with a revolving joint", "easy", "SawyerDoorOpenV3Policy"),
    "door-unlock-v3": TaskInfo(
        "Unlock the door by rotating the lock counter-clockwise", "easy", "SawyerDoorUnlockV3Policy"
    ),
    "drawer-close-v3": TaskInfo("Push and close a drawer", "easy", "SawyerDrawerCloseV3Policy"),
    "drawer-open-v3": TaskInfo("Open a drawer", "easy", "SawyerDrawerOpenV3Policy"),
    "faucet-close-v3": TaskInfo("Rotate the faucet clockwise", "easy", "SawyerFaucetCloseV3Policy"),
    "faucet-open-v3": TaskInfo("Rotate the faucet counter-clockwise", "easy", "SawyerFaucetOpenV3Policy"),
    "hammer-v3": TaskInfo("Hammer a screw on the wall", "medium", "SawyerHammerV3Policy"),
    "hand-insert-v3": TaskInfo("Insert the gripper into a hole", "hard", "SawyerHandInsertV3Policy"),
    "handle-press-side-v3": TaskInfo("Press a handle down sideways", "easy", "SawyerHandlePressSideV3Policy"),
    "handle-press-v3": TaskInfo("Press a handle down", "easy", "SawyerHandlePressV3Policy"),
    "handle-pull-side-v3": TaskInfo("Pull a handle up sideways", "easy", "SawyerHandlePullSideV3Policy"),
    "handle-pull-v3": TaskInfo("Pull a handle up", "easy", "SawyerHandlePullV3Policy"),
    "lever-pull-v3": TaskInfo("Pull a lever down 90 degrees", "easy", "SawyerLeverPullV3Policy"),
    "peg-insert-side-v3": TaskInfo("Insert a peg sideways", "medium", "SawyerPegInsertionSideV3Policy"),
    "peg-unplug-side-v3": TaskInfo("Unplug a peg sideways", "easy", "SawyerPegUnplugSideV3Policy"),
    "pick-out-of-hole-v3": TaskInfo("Pick up a puck from a hole", "hard", "SawyerPickOutOfHoleV3Policy"),
    "pick-place-v3": TaskInfo("Pick and place a puck to a goal", "hard", "SawyerPickPlaceV3Policy"),
    "pick-place-wall-v3": TaskInfo(
        "Pick a puck, bypass a wall and place the puck", "very_hard", "SawyerPickPlaceWallV3Policy"
    ),
    "plate-slide-back-side-v3": TaskInfo(
        "Get a plate from the cabinet sideways", "easy", "SawyerPlateSlideBackSideV3Policy"
    ),
    "plate-slide-back-v3": TaskInfo("Get a plate from the cabinet", "easy", "SawyerPlateSlideBackV3Policy"),
    "plate-slide-side-v3": TaskInfo("Slide a plate into a cabinet sideways", "easy", "SawyerPlateSlideSideV3Policy"),
    "plate-slide-v3": TaskInfo("Slide a plate into a cabinet", "easy", "SawyerPlateSlideV3Policy"),
    "push-back-v3": TaskInfo("Push the puck to a goal", "hard", "SawyerPushBackV3Policy"),
    "push-v3": TaskInfo("Push the puck to a goal", "hard", "SawyerPushV3Policy"),
    "push-wall-v3": TaskInfo("Bypass a wall and push a puck to a goal", "medium", "SawyerPushWallV3Policy"),
    "reach-v3": TaskInfo("Reach a goal position", "easy", "SawyerReachV3Policy"),
    "reach-wall-v3": TaskInfo("Bypass a wall and reach a goal", "easy", "SawyerReachWallV3Policy"),
    "shelf-place-v3": TaskInfo("Pick and place a puck onto a shelf", "very_hard", "SawyerShelfPlaceV3Policy"),
    "soccer-v3": TaskInfo("Kick a soccer into the goal", "medium", "SawyerSoccerV3Policy"),
    "stick-pull-v3": TaskInfo("Grasp a stick and pull a box with the stick", "very_hard", "SawyerStickPullV3Policy"),
    "stick-push-v3": TaskInfo("Grasp a stick and push a box using the stick", "very_hard", "SawyerStickPushV3Policy"),
    "sweep-into-v3": TaskInfo("Sweep a puck into a hole", "medium", "SawyerSweepIntoV3Policy"),
    "sweep-v3": TaskInfo("Sweep a puck off the table", "medium", "SawyerSweepV3Policy"),
    "window-open-v3": TaskInfo("Push and open a window", "easy", "SawyerWindowOpenV3Policy"),
    "window-close-v3": TaskInfo("Push and close a window", "easy", "SawyerWindowCloseV3Policy"),
}

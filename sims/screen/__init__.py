"""Puzzles on a monitor, worked by the arm with a mouse on the desk."""

PUZZLES = {
    "ClickIcon": "sims.screen.click_icon:ClickIcon",
    "ClickCharacters": "sims.screen.click_characters:ClickCharacters",
    "SelectTiles": "sims.screen.select_tiles:SelectTiles",
    "DragSlider": "sims.screen.drag_slider:DragSlider",
    "FollowTarget": "sims.screen.follow_target:FollowTarget",
    "TypeCode": "sims.screen.type_code:TypeCode",
}

"""A screen worked with a mouse by the arm; the puzzles by the name of their task."""

PUZZLES = {
    "ClickIcon": "sims.screen.click_icon:ClickIcon",
    "ClickCharacters": "sims.screen.click_characters:ClickCharacters",
    "SelectTiles": "sims.screen.select_tiles:SelectTiles",
    "DragSlider": "sims.screen.drag_slider:DragSlider",
    "FollowTarget": "sims.screen.follow_target:FollowTarget",
    "TypeCode": "sims.screen.type_code:TypeCode",
}

"""Ropes, cloths, soft and irregular bodies under the arm's hand; success is read off the geometry."""

# Name of the environment -> where its class is; nothing heavy is imported here.
TASKS = {
    "RopeStraighten": "sims.deformable.rope_straighten:RopeStraightenEnv",
    "RopeCurve": "sims.deformable.rope_curve:RopeCurveEnv",
    "RopeThread": "sims.deformable.rope_thread:RopeThreadEnv",
    "ClothFold": "sims.deformable.cloth_fold:ClothFoldEnv",
    "ClothSpread": "sims.deformable.cloth_spread:ClothSpreadEnv",
    "ClothCover": "sims.deformable.cloth_cover:ClothCoverEnv",
    "SoftLift": "sims.deformable.lift_soft:SoftLiftEnv",
    "IrregularLift": "sims.deformable.lift_irregular:IrregularLiftEnv",
}

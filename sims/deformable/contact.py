"""How contacts of light deformable parts are resolved, the same for ropes, cloths, shells and the fingers they meet.

MuJoCo's contacts are soft in proportion to the mass they act on: with the usual impedance the fingers sink 4 mm into a
vertex of 1 g, and it creeps out of a firm grip at centimetres a second.
"""

from typing import Any

SOLREF = (0.009, 1.0)  # seconds, damping ratio; at least twice the time step
SOLIMP = (0.99, 0.99, 0.001, 0.5, 2.0)
FRICTION = (0.6, 0.02, 0.001)  # the fingertips' 1.5 prevails where they touch, since the larger one counts
GRASPABLE: dict[str, Any] = {"condim": 4, "friction": FRICTION, "solref": SOLREF, "solimp": SOLIMP}  # of a geometry

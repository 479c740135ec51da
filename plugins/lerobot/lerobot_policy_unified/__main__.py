"""A checkpoint of `unified fit` for LeRobot: `python -m lerobot_policy_unified CHECKPOINT FOLDER`."""

import argparse
from pathlib import Path

from lerobot_policy_unified.configuration_unified import UnifiedConfig
from lerobot_policy_unified.modeling_unified import UnifiedPolicy
from lerobot_policy_unified.processor_unified import make_unified_pre_post_processors
from unified.errors import UserError
from unified.model.model import UnifiedModel
from unified.model.queries import Query
from unified.rollout.policies import load_model


def export(model: UnifiedModel, folder: Path, embodiment: str | None = None) -> Path:
    """Write a folder that LeRobot opens as a policy for one body, and `unified` as before.

    Args:
        embodiment: the body; default: the only one.

    Raises:
        UserError: if the model has several bodies and none is named, or none of that name.
    """
    bodies = [body.name for body in model.spec.embodiments]
    if embodiment is None and len(bodies) > 1:
        raise UserError(f"This checkpoint moves {', '.join(bodies)}; say which: --embodiment.")
    body = embodiment or bodies[0]
    stride = model.history.frame_stride(model.spec, body)
    queries = {name: _attributes(query) for name, query in (model.history.queries or {}).items()}
    config = UnifiedConfig.of(
        model.spec, body, frame_stride=stride, n_action_steps=min(4, model.spec.action_horizon), queries=queries
    )
    UnifiedPolicy(config, model=model).save_pretrained(folder)
    for processor in make_unified_pre_post_processors(config):
        processor.save_pretrained(folder)
    return folder


def _attributes(query: Query) -> dict[str, object]:
    values = {name: value for name, value in vars(query).items() if name != "name"}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(prog="python -m lerobot_policy_unified", description=__doc__)
    parser.add_argument("checkpoint", help="a run, its pretrained folder, a .ckpt, or a Hub id")
    parser.add_argument("folder", type=Path, help="where the folder for LeRobot is written")
    parser.add_argument("--embodiment", help="the body, where the checkpoint has several")
    given = parser.parse_args()
    try:
        folder = export(load_model(given.checkpoint), given.folder, given.embodiment)
    except UserError as error:
        parser.exit(1, f"error: {error}\n")
    parser.exit(0, f"next: lerobot-eval --policy.path={folder} --env.type=unified\n")


if __name__ == "__main__":
    main()

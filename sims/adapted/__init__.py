"""Any Gymnasium environment behind the interface of all environments here, as a suite's YAML describes it."""

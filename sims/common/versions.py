"""What is installed."""

import importlib.metadata


def package_version(name: str) -> str:
    """Installed version of a distribution, or `unknown` in a plain checkout."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"

"""The photograph of `make demo`: china.jpg, a photograph that comes with scikit-learn. Prints its path."""

from importlib.util import find_spec
from pathlib import Path


def demo_picture() -> Path:
    """Path of scikit-learn's china.jpg, found without importing scikit-learn."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-learn is not installed: run `make setup`")
    return Path(spec.origin).parent / "datasets" / "images" / "china.jpg"


if __name__ == "__main__":
    print(demo_picture())

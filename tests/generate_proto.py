"""Generate the code beside `shared/proto/*.proto`: `python -m tests.generate_proto`.

It is the one command: the compiler runs at the root of the repository with `-I .`, so that what it writes
imports `shared.proto.x_pb2`, without tricks with paths.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HEADER: Final = "# ruff: noqa\n"


def generate(into: Path) -> list[Path]:
    """Write the generated files under `into` and return their paths below it."""
    sources = sorted(path.relative_to(ROOT) for path in ROOT.glob("shared/proto/*.proto"))
    plugins = Path(sys.executable).parent
    outputs = [f"--{kind}_out={into}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", "-I", "."),
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        *outputs,
        *map(str, sources),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return sorted(path.relative_to(into) for path in into.glob("shared/proto/*_pb2*"))


if __name__ == "__main__":
    for made in generate(ROOT):
        sys.stdout.write(f"{made}\n")

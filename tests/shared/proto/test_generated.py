"""The committed code is what the compiler makes of the committed definitions."""

from pathlib import Path

from tests.generate_proto import ROOT, generate


def test_generated_code_is_the_compilers(tmp_path: Path) -> None:
    made = generate(tmp_path)
    committed = sorted(path.relative_to(ROOT) for path in ROOT.glob("shared/proto/*_pb2*"))
    assert made == committed
    for path in made:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), path

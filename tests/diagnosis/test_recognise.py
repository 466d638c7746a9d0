"""What is found in what people give."""

from pathlib import Path

from pagehint.diagnosis.examine import diagnose
from pagehint.report.doctor_words import pressure_line


def test_memory_pressure_and_pins_are_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "pasted"
    path.write_text(
        "MemTotal: 1000000 kB\nMemFree: 500000 kB\nnr_foll_pin_acquired 600\nnr_foll_pin_released 88\n"
        "some avg10=1.50 avg60=2.00 avg300=0.25 total=123\nfull avg10=0.00 avg60=0.50 avg300=0.00 total=5\n"
    )
    found = diagnose(path)
    line = pressure_line(found)
    assert line is not None
    assert "waited for memory 1.5 % of the last 10 s, 2 % of the last minute" in line
    assert "all of them 0.5 %" in line
    assert found.to_dict()["pressure"]["some"]["avg300"] == 0.25
    assert any("up to 2.0 MiB" in line for line in found.warnings)
    path.write_text("MemTotal: 1 kB\nMemFree: 1 kB\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=9\n")
    assert "nobody waited" in (pressure_line(diagnose(path)) or "")

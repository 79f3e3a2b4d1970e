"""A load that is killed at any moment leaves nothing visible and can be run again: real kills, at moments of a fixed seed."""

import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import huitong
from huitong.intake.load import LoadOptions, load
from huitong.lake.snapshots import Lake
from huitong.model.catalog import LoadMode

sys.path.insert(0, str(Path(__file__).parent))
from test_loading_modes import DATASET, FIRST, held

LOADER = """
import sys
sys.path[:0] = [sys.argv[3]]
from datetime import UTC, datetime
from pathlib import Path
from test_loading_modes import DATASET
from huitong.intake.load import LoadOptions, load
from huitong.lake.snapshots import Lake
from huitong.model.catalog import LoadMode
lake = Lake(Path(sys.argv[1]), lambda: datetime.now(UTC))
print("ready", flush=True)
previous = lake.snapshot(DATASET.id)
load(Path(sys.argv[2]), dataset=DATASET, lake=lake, options=LoadOptions(mode=LoadMode.MERGE, reject_limit=1), previous=previous)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_killed_load_leaves_all_or_nothing_and_can_be_run_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake", lambda: datetime.now(UTC))
    small = tmp_path / "small.csv"
    small.write_text("code,people,since\n" + "".join(",".join(row) + "\n" for row in FIRST), "utf-8")
    first = load(small, dataset=DATASET, lake=lake).snapshot
    large = tmp_path / "large.csv"
    with large.open("w") as file:
        file.write("code,people,since\n001,9,2024-01-01\nbad,bad,2024-01-01\n")
        file.writelines(f"n{n:07d},{n},2024-01-{1 + n % 28:02d}\n" for n in range(400_000))
    environment = {"PYTHONPATH": str(Path(huitong.__file__).parent.parent)}
    command = [sys.executable, "-c", LOADER, str(lake.folder), str(large), str(Path(__file__).parent)]

    def run(seconds: float | None) -> tuple[bool, float]:
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            began = time.monotonic()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            return process.wait() == 0, time.monotonic() - began

    chance = random.Random(3)
    killed = 0
    for _ in range(8):
        before = lake.versions(DATASET.id)
        finished, _seconds = run(chance.uniform(0.02, 1.2))
        killed += not finished
        after = lake.versions(DATASET.id)
        assert len(after) - len(before) <= 1
        assert len(after) > len(before) or not finished
        for version in after:
            snapshot = lake.snapshot(DATASET.id, version)
            assert snapshot.rows == (3 if version == first.version else 400_003)
            assert all(path.is_file() for path in lake.absolute([file.path for file in snapshot.files]))
    assert killed >= 3
    assert run(None)[0]
    last = lake.snapshot(DATASET.id)
    assert (last.rows, last.rejected_rows) == (400_003, 1)
    assert ("001", "9", "2024-01-01") in held(lake, last)
    again = load(small, dataset=DATASET, lake=lake, options=LoadOptions(mode=LoadMode.MERGE), previous=last)
    named = {file.path for version in lake.versions(DATASET.id) for file in lake.snapshot(DATASET.id, version).files}
    kept = {str(path.relative_to(lake.folder)) for path in (lake.folder / "tables").glob("*/*.parquet")}
    assert kept == named
    assert not list((lake.folder / "tables").rglob(".staging-*"))
    assert again.snapshot.rows == 400_003

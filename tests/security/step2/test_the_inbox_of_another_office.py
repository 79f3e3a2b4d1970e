"""What lies in an office's folder of the inbox is that office's, whatever a neighbour puts into its own."""

from pathlib import Path

import pytest

from huitong.errors import InputInvalid
from huitong.intake.databases import file_of_inbox


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    for office in ("gz-civil", "gz-medical"):
        (tmp_path / office / "today").mkdir(parents=True)
        (tmp_path / office / "today" / "rows.csv").write_text("a\n1\n", "utf-8")
    return tmp_path


def test_a_link_into_the_folder_of_another_office_is_not_followed(inbox: Path) -> None:
    (inbox / "gz-civil" / "file.csv").symlink_to(inbox / "gz-medical" / "today" / "rows.csv")
    (inbox / "gz-civil" / "folder").symlink_to("../gz-medical/today")
    (inbox / "gz-third").symlink_to("gz-medical")
    for path in ("gz-civil/file.csv", "gz-civil/folder/rows.csv", "gz-third/today/rows.csv"):
        with pytest.raises(InputInvalid) as caught:
            file_of_inbox(inbox, path)
        assert caught.value.reasons[0].code == "source-file-outside"


def test_files_and_links_within_the_folder_of_the_office_are_read(inbox: Path) -> None:
    (inbox / "gz-civil" / "newest.csv").symlink_to("today/rows.csv")
    for path in ("gz-civil/today/rows.csv", "gz-civil/newest.csv"):
        assert file_of_inbox(inbox, path).read_text("utf-8") == "a\n1\n"

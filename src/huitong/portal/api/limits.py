"""What one call may weigh: numbers as data, in `limits.toml` beside this file."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Limits:
    """The numbers of `limits.toml`; their meaning stands there."""

    upload_bytes: int
    upload_block_bytes: int
    statement_characters: int
    page_entries: int
    page_entries_usual: int
    search_characters: int
    threads: int
    upload_threads: int
    body_bytes: int
    body_bytes_without_token: int
    body_seconds: int
    bodies_at_once: int
    bodies_bytes: int
    upload_pause_seconds: int
    upload_bytes_per_second: int
    downloads: int
    download_threads: int
    download_window_bytes: int
    download_pause_seconds: int
    download_bytes_per_second: int
    download_pace_bytes_per_second: int
    stream_threads: int
    stream_head_seconds: float
    stream_pause_seconds: int
    stream_bytes_per_second: int
    stream_last_words_seconds: float
    stream_piece_bytes: int
    connections: int
    header_seconds: int
    problem_reasons: int


LIMITS = Limits(**tomllib.loads((files(__package__) / "limits.toml").read_text("utf-8"))["limits"])

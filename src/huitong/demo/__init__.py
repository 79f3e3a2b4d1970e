"""The demo province: real Guizhou divisions and offices, invented people, real open data, and registers that a seed makes."""

from huitong.demo.generator import GeneratedTable, GenerationReport, generate
from huitong.demo.province import DemoPerson, datasets, divisions, offices, people, real_tables

__all__ = [
    "DemoPerson",
    "GeneratedTable",
    "GenerationReport",
    "datasets",
    "divisions",
    "generate",
    "offices",
    "people",
    "real_tables",
]

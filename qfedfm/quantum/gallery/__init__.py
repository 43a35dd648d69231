"""The gallery: every circuit of the package as files that other tools read, with expected values.

It is generated from :mod:`qfedfm.circuits` (``qfedfm circuits export``), never edited by hand, and checked
against it through Qiskit and PennyLane (``qfedfm circuits check``). Wheels carry it as package data.
"""

from __future__ import annotations

from qfedfm.quantum.gallery.checking import Finding, check_file, check_gallery
from qfedfm.quantum.gallery.entries import ENTRIES, Entry
from qfedfm.quantum.gallery.export import differences, export_gallery, gallery_files
from qfedfm.quantum.gallery.places import gallery_folder

__all__ = [
    "ENTRIES",
    "Entry",
    "Finding",
    "check_file",
    "check_gallery",
    "differences",
    "export_gallery",
    "gallery_files",
    "gallery_folder",
]

#!/usr/bin/env python3
"""docs/recipes.md names every key of recipe.proto, docs/features.md only files
that exist, and no page links to nowhere.

usage: docs_test.py SOURCE_DIR
"""
import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1])
failures = []

proto = re.sub(r"//.*", "", (source / "proto/condense/v1/recipe.proto").read_text())
page = (source / "docs/recipes.md").read_text()
fields = re.findall(r"^\s*(?:optional |repeated )?[\w.]+ (\w+) = \d+;", proto, re.M)
values = [v.lower() for v in re.findall(r"^\s*([A-Z][A-Z0-9_]+) = \d+;", proto, re.M) if not v.endswith("_UNSPECIFIED")]
fields = [f for f in fields if not f.isupper()]
assert len(fields) > 50 and len(values) > 15, "the proto is not read as it is written"
for name in fields + values:
    if not re.search(rf"\b{re.escape(name)}\b", page):
        failures.append(f"docs/recipes.md does not name '{name}' of recipe.proto")

features = (source / "docs/features.md").read_text()
paths = set(re.findall(r"`((?:proto|common|server|workers|client|deploy|tests|examples|scripts)/[^`\s]*)`", features))
assert len(paths) > 30, "docs/features.md names too few files"
for path in sorted(paths):
    if not list(source.glob(path)):
        failures.append(f"docs/features.md names {path}, which is not there")

for markdown in [source / "README.md", source / "ARCHITECTURE.md", *source.glob("docs/**/*.md")]:
    for link in re.findall(r"\]\(([^)#]+)\)", markdown.read_text()):
        if "://" not in link and not (markdown.parent / link).exists():
            failures.append(f"{markdown.relative_to(source)} links to {link}, which is not there")

print("\n".join(failures) or f"{len(fields)} keys, {len(values)} values and {len(paths)} paths are right")
sys.exit(1 if failures else 0)

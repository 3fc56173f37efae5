"""Writes a CycloneDX 1.6 bill of materials from the locks: scripts/sbom.py [FILE]

Without a network and without a clock: the same locks give the same file.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

from locks import ROOT, RUNTIME, Pin, all_pins

# What is carried in the wheel and is not ours: file, name, version, licence.
CARRIED = (("src/signalbox/console/static/htmx.min.js", "htmx.org", "2.0.11", "0BSD"),)


def component(pin: Pin) -> dict[str, Any]:
    reference = f"pkg:pypi/{pin.name}@{pin.version}"
    return {
        "type": "library",
        "bom-ref": reference,
        "name": pin.name,
        "version": pin.version,
        "purl": reference,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.hashes],
    }


def carried() -> list[dict[str, Any]]:
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:npm/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:npm/{name}@{version}",
            "licenses": [{"license": {"id": licence}}],
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256((ROOT / file).read_bytes()).hexdigest()}],
        }
        for file, name, version, licence in CARRIED
    ]


def bill() -> dict[str, Any]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    found = all_pins(RUNTIME)
    references = {pin.name: f"pkg:pypi/{pin.name}@{pin.version}" for pin in found}
    needs: dict[str, set[str]] = {own: set(), **{reference: set() for reference in references.values()}}
    for pin in found:
        for name in pin.via or (project["name"],):
            needs[references.get(name.lower(), own)].add(references[pin.name])
    components = [*map(component, found), *carried()]
    needs[own] |= {each["bom-ref"] for each in carried()}
    seed = json.dumps([own, components], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, seed)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "purl": own,
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": reference, "dependsOn": sorted(on)} for reference, on in needs.items()],
    }


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "signalbox.cdx.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bill(), indent=2) + "\n")
    print(target)

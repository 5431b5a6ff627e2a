"""Where data lies: zones (a folder or an object store), artefacts with manifests, locks."""

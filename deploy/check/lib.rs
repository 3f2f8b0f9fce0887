//! Tests of the manifests in `deploy/`. The crate itself is empty: the typed Kubernetes API takes long to compile, and nothing else needs it.

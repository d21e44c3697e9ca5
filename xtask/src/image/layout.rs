//! The image as the OCI specifications have it: configuration, manifest, index, and the archive of them.
//!
//! The few objects are written out here: the crate that has types for them brings twenty others.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ImageError;
use super::layer::{Entry, Layer, archive, digest};
use super::source::Source;

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Nobody in particular, and by number: a pod can be told to refuse root without knowing names.
const USER: &str = "65532:65532";

/// What the image says of itself.
#[derive(Debug)]
pub(super) struct Labels {
    /// The operator's version.
    pub(super) version: String,
    /// Where it comes from.
    pub(super) source: Source,
}

impl Labels {
    fn map(&self) -> Map<String, Value> {
        let repository = env!("CARGO_PKG_REPOSITORY");
        let mut labels = vec![
            ("title", "saga-operator"),
            ("description", "Sagas for Kubernetes: steps with compensations, driven to a safe end"),
            ("version", &self.version),
            ("licenses", env!("CARGO_PKG_LICENSE")),
            ("vendor", "saga-operator"),
            ("url", repository),
            ("source", repository),
            ("documentation", repository),
        ];
        let created = self.source.timestamp();
        labels.push(("created", &created));
        labels.extend(self.source.commit.as_deref().map(|commit| ("revision", commit)));
        labels.into_iter().map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.into())).collect()
    }
}

/// A whole image.
#[derive(Debug)]
pub(super) struct Image {
    /// By digest.
    blobs: BTreeMap<String, Vec<u8>>,
    /// The descriptor of the manifest.
    manifest: Value,
    unpacked: u64,
    time: u64,
}

impl Image {
    /// Layers from the bottom up, each with what it holds.
    pub(super) fn new(architecture: &str, layers: Vec<(Layer, &'static str)>, labels: &Labels) -> Self {
        let created = labels.source.timestamp();
        let config = json!({
            "created": created,
            "architecture": architecture,
            "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": ["/saga-operator"],
                "WorkingDir": "/",
                "Labels": labels.map(),
            },
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|(layer, _)| &layer.diff_id).collect::<Vec<_>>()},
            "history": layers
                .iter()
                .map(|(_, what)| json!({"created": created, "created_by": "cargo xtask image", "comment": what}))
                .collect::<Vec<_>>(),
        });
        let mut image = Self {
            blobs: BTreeMap::new(),
            manifest: Value::Null,
            unpacked: layers.iter().map(|(layer, _)| layer.unpacked).sum(),
            time: labels.source.time,
        };
        let config = image.add(CONFIG_TYPE, config.to_string().into_bytes());
        let layers: Vec<_> = layers.into_iter().map(|(layer, _)| image.add(LAYER_TYPE, layer.blob)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config,
            "layers": layers,
            "annotations": labels.map(),
        });
        image.manifest = image.add(MANIFEST_TYPE, manifest.to_string().into_bytes());
        image.manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
        image
    }

    /// Keeps a blob; returns its descriptor.
    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    /// The digest by which registries know the image.
    pub(super) fn digest(&self) -> &str {
        self.manifest["digest"].as_str().unwrap_or_default()
    }

    /// What has to be transferred.
    pub(super) fn packed(&self) -> usize {
        self.blobs.values().map(Vec::len).sum()
    }

    /// What it takes unpacked, when that is not too much.
    pub(super) const fn fit(&self, limit: u64) -> Result<u64, ImageError> {
        if self.unpacked > limit {
            return Err(ImageError::TooLarge { size: self.unpacked, limit });
        }
        Ok(self.unpacked)
    }

    /// The tar file: what `ctr images import`, `skopeo copy oci-archive:` and `docker load` read.
    pub(super) fn archive(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let mut manifest = self.manifest.clone();
        let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
        // containerd takes the whole name from its own annotation; the standard one is for the tag.
        manifest["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest]});
        let layout = json!({"imageLayoutVersion": "1.0.0"});
        let (index, layout) = (index.to_string(), layout.to_string());
        let mut files: BTreeMap<String, &[u8]> =
            BTreeMap::from([("index.json".to_owned(), index.as_bytes()), ("oci-layout".to_owned(), layout.as_bytes())]);
        for (digest, bytes) in &self.blobs {
            files.insert(format!("blobs/{}", digest.replace(':', "/")), bytes);
        }
        let files: Vec<_> = files.iter().map(|(path, content)| Entry { path, mode: 0o644, content }).collect();
        archive(&files, self.time).map_err(|source| ImageError::Pack { what: "the archive", source })
    }
}

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::layer::digest;
use super::layout::{Image, Labels};
use super::source::Source;
use super::{Content, ImageError, LIMIT, binary, metadata, sbom};
use crate::files;
use crate::paths;

type Tested = Result<(), Box<dyn Error>>;

const TIME: u64 = 1_795_285_064;

fn labels() -> Labels {
    let source = Source { commit: Some("0123abcd".to_owned()), time: TIME };
    Labels { version: "1.2.3".to_owned(), source }
}

fn image(binary: &[u8]) -> Result<Image, ImageError> {
    Content { binary: binary.to_vec(), sbom: b"{}".to_vec() }.image("amd64", &labels())
}

/// One file of a tar.
struct File {
    content: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    time: u64,
    directory: bool,
}

fn unpacked(tar: &[u8]) -> Result<Vec<(PathBuf, File)>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let header = entry.header();
        let mut file = File {
            content: Vec::new(),
            mode: header.mode()?,
            owner: (header.uid()?, header.gid()?),
            time: header.mtime()?,
            directory: header.entry_type().is_dir(),
        };
        entry.read_to_end(&mut file.content)?;
        files.push((entry.path()?.into_owned(), file));
    }
    Ok(files)
}

/// The archive as a reader of the specification sees it.
struct Read {
    blobs: BTreeMap<String, Vec<u8>>,
    index: Value,
}

impl Read {
    fn of(archive: &[u8]) -> Result<Self, Box<dyn Error>> {
        let mut blobs = BTreeMap::new();
        let mut index = Value::Null;
        for (path, file) in unpacked(archive)? {
            match path.to_str() {
                Some("index.json") => index = serde_json::from_slice(&file.content)?,
                Some("oci-layout") => {
                    let layout: Value = serde_json::from_slice(&file.content)?;
                    assert_eq!(layout, json!({"imageLayoutVersion": "1.0.0"}));
                }
                Some(path) if !file.directory => {
                    let hash = path.strip_prefix("blobs/sha256/").ok_or(format!("{path} does not belong here"))?;
                    assert_eq!(digest(&file.content), format!("sha256:{hash}"));
                    blobs.insert(format!("sha256:{hash}"), file.content);
                }
                _ => {}
            }
        }
        Ok(Self { blobs, index })
    }

    /// What a descriptor leads to, after comparing type and size.
    fn blob(&self, descriptor: &Value, media_type: &str) -> Result<&[u8], Box<dyn Error>> {
        assert_eq!(descriptor["mediaType"], media_type);
        let digest = descriptor["digest"].as_str().ok_or("a descriptor without a digest")?;
        let blob = self.blobs.get(digest).ok_or(format!("{digest} is not there"))?;
        assert_eq!(descriptor["size"], blob.len(), "{digest}");
        Ok(blob)
    }
}

#[test]
fn what_was_packed_is_read_back_by_its_digests_and_sizes() -> Tested {
    let image = image(b"a program")?;
    let read = Read::of(&image.archive("registry.example/operator:1.2.3")?)?;
    assert_eq!(read.index["schemaVersion"], 2);
    let [manifest] = read.index["manifests"].as_array().ok_or("no manifests")?.as_slice() else {
        return Err("more than one manifest".into());
    };
    assert_eq!(manifest["digest"], image.digest());
    assert_eq!(manifest["platform"], json!({"architecture": "amd64", "os": "linux"}));
    assert_eq!(manifest["annotations"]["io.containerd.image.name"], "registry.example/operator:1.2.3");
    assert_eq!(manifest["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");

    let manifest: Value = serde_json::from_slice(read.blob(manifest, "application/vnd.oci.image.manifest.v1+json")?)?;
    let config = read.blob(&manifest["config"], "application/vnd.oci.image.config.v1+json")?;
    let config: Value = serde_json::from_slice(config)?;
    let layers = manifest["layers"].as_array().ok_or("no layers")?;
    assert_eq!(layers.len(), 2);
    assert_eq!(read.blobs.len(), layers.len() + 2, "blobs that nothing leads to");
    for (index, layer) in layers.iter().enumerate() {
        let blob = read.blob(layer, "application/vnd.oci.image.layer.v1.tar+gzip")?;
        let mut tar = Vec::new();
        GzDecoder::new(blob).read_to_end(&mut tar)?;
        assert_eq!(config["rootfs"]["diff_ids"][index], digest(&tar));
    }
    Ok(())
}

#[test]
fn the_image_runs_the_operator_as_nobody_and_says_where_it_comes_from() -> Tested {
    let read = Read::of(&image(b"a program")?.archive("x:1")?)?;
    let configs: Vec<Value> = read.blobs.values().filter_map(|blob| serde_json::from_slice(blob).ok()).collect();
    let config = configs.iter().find(|value| value.get("rootfs").is_some()).ok_or("no configuration")?;
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/saga-operator"]));
    assert_eq!((&config["architecture"], &config["os"]), (&json!("amd64"), &json!("linux")));
    assert_eq!(config["created"], "2026-11-21T18:17:44Z");
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], "1.2.3");
    assert_eq!(labels["org.opencontainers.image.revision"], "0123abcd");
    assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    let source = labels["org.opencontainers.image.source"].as_str().unwrap_or_default();
    assert!(source.starts_with("https://"), "{source}");
    Ok(())
}

#[test]
fn there_are_two_files_in_the_image_and_no_shell() -> Tested {
    let read = Read::of(&image(b"a program")?.archive("x:1")?)?;
    let mut files = BTreeMap::new();
    for blob in read.blobs.values().filter(|blob| blob.starts_with(&[0x1f, 0x8b])) {
        let mut tar = Vec::new();
        GzDecoder::new(&blob[..]).read_to_end(&mut tar)?;
        for (path, file) in unpacked(&tar)? {
            assert_eq!((file.owner, file.time), ((0, 0), TIME), "{}", path.display());
            if !file.directory {
                files.insert(path.display().to_string(), (file.mode, file.content));
            }
        }
    }
    let wanted = BTreeMap::from([
        ("saga-operator".to_owned(), (0o555, b"a program".to_vec())),
        ("usr/share/sbom/saga-operator.cdx.json".to_owned(), (0o444, b"{}".to_vec())),
    ]);
    assert_eq!(files, wanted);
    Ok(())
}

#[test]
fn the_same_content_gives_the_same_bytes_and_other_content_another_digest() -> Tested {
    let (one, two, other) = (image(b"a program")?, image(b"a program")?, image(b"a Program")?);
    assert_eq!(one.digest(), two.digest());
    assert_eq!(one.archive("x:1")?, two.archive("x:1")?);
    assert_ne!(one.digest(), other.digest());
    let later = Labels { source: Source { time: TIME + 1, ..labels().source }, ..labels() };
    let later = Content { binary: b"a program".to_vec(), sbom: b"{}".to_vec() }.image("amd64", &later)?;
    assert_ne!(one.digest(), later.digest());
    Ok(())
}

#[test]
fn an_image_beyond_the_limit_is_refused_with_both_figures() -> Tested {
    let image = image(b"a program")?;
    assert_eq!(image.fit(LIMIT)?, 11);
    assert_eq!(image.fit(11)?, 11);
    let said = image.fit(10).err().map(|error| error.to_string());
    assert_eq!(said.as_deref(), Some("the image is too large: 11 bytes unpacked, at most 10 are allowed"));
    Ok(())
}

/// A program with these kinds of segments.
fn elf(segments: &[u32]) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01".to_vec();
    elf.resize(64, 0);
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = u8::try_from(segments.len()).unwrap_or(u8::MAX);
    for kind in segments {
        elf.extend(kind.to_le_bytes());
        elf.resize(elf.len() + 52, 0);
    }
    elf
}

#[test]
fn a_program_that_needs_a_dynamic_linker_is_not_packed() -> Tested {
    assert_eq!(binary::needs_nothing(&elf(&[1, 2, 6])), Ok(()));
    assert!(binary::needs_nothing(&elf(&[6, 3, 1])).is_err());
    assert!(binary::needs_nothing(b"#!/bin/sh\n").is_err());
    assert!(binary::needs_nothing(&elf(&[1])[..66]).is_err());
    // This test is linked like every other program of the machine.
    assert!(binary::needs_nothing(&files::read_bytes(&std::env::current_exe()?)?).is_err());
    Ok(())
}

#[test]
fn the_bill_of_materials_lists_what_is_compiled_in_and_nothing_else() -> Tested {
    let lock = files::read(&paths::workspace().join("Cargo.lock"))?;
    let metadata = metadata::read("x86_64-unknown-linux-gnu")?;
    let document: Value = serde_json::from_slice(&sbom::write(&metadata, &lock, &labels().source)?)?;
    assert_eq!((&document["bomFormat"], &document["specVersion"]), (&json!("CycloneDX"), &json!("1.6")));
    assert_eq!(document["metadata"]["component"]["name"], "saga-operator");
    let components = document["components"].as_array().ok_or("no components")?;
    let named = |name: &str| components.iter().find(|component| component["name"] == name);
    for name in ["kube", "tokio", "rustls", "webpki-roots", "aws-lc-sys"] {
        let found = named(name).ok_or(format!("{name} is missing"))?;
        assert_eq!(found["hashes"][0]["content"].as_str().map(str::len), Some(64), "{name}");
        assert!(found["licenses"][0]["expression"].is_string(), "{name}");
    }
    // Of tests, of xtask, of build time.
    for name in ["insta", "proptest", "xtask", "tar", "cc"] {
        assert!(named(name).is_none(), "{name} is not in the binary");
    }
    let references: Vec<_> = document["dependencies"].as_array().into_iter().flatten().collect();
    assert_eq!(references.len(), components.len() + 1);
    for on in references.iter().flat_map(|node| node["dependsOn"].as_array().into_iter().flatten()) {
        assert!(components.iter().any(|component| component["bom-ref"] == *on), "{on} is no component");
    }
    Ok(())
}

#[test]
fn the_dockerfile_uses_the_compiler_and_the_user_of_the_project() -> Tested {
    let root = paths::workspace();
    let toolchain = files::read(&root.join("rust-toolchain.toml"))?;
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
    let version = version.ok_or("no compiler is named")?;
    let dockerfile = files::read(&root.join("Dockerfile"))?;
    assert!(dockerfile.contains(&format!("rust:{version}-")), "the Dockerfile does not use Rust {version}");
    assert!(dockerfile.contains("\nUSER 65532:65532\n") && dockerfile.contains("\nENTRYPOINT [\"/saga-operator\"]\n"));
    Ok(())
}

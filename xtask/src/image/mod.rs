//! The container image, made without a container engine: the static binary and its bill of materials as an OCI image
//! layout in one tar file.
//!
//! Flow: [`source`] says which commit; [`binary`] compiles and looks whether the result needs nothing of a system;
//! [`sbom`] lists what is in it; [`layer`] and [`layout`] pack.
//!
//! Guarantees: the same binary, dependencies, commit and time give the same bytes, so the same digest; entries are sorted
//! and carry one time. The paths of this machine are not in the binary. The image holds two files, no shell, no
//! certificates (the public authorities are in the binary, the API server's come with the pod).
//!
//! Caveats: for the architecture of this machine. The `Dockerfile` makes the others.

mod binary;
mod layer;
mod layout;
mod metadata;
mod sbom;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use self::layer::{Entry, Layer};
use self::layout::{Image, Labels};
use crate::files::{self, FileError};
use crate::paths;

/// Where releases are published; the chart's default.
pub(crate) const REPOSITORY: &str = "ghcr.io/saga-operator/saga-operator";
/// What the whole image may take, unpacked.
const LIMIT: u64 = 25 * 1024 * 1024;
/// The operator in the image.
const BINARY: &str = "saga-operator";
/// Scanners find bills of materials by this ending.
const SBOM: &str = "usr/share/sbom/saga-operator.cdx.json";

#[derive(Debug, clap::Args)]
pub(crate) struct Command {
    /// Where the archive goes [default: target/image/saga-operator-VERSION-ARCH.oci.tar]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The image's name inside the archive [default: ghcr.io/saga-operator/saga-operator:VERSION]
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<String>,
    /// Pack this static binary and compile none
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// The image could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// There is no binary to pack.
    #[error(transparent)]
    Binary(#[from] binary::BinaryError),
    /// It is not known what is in it.
    #[error(transparent)]
    Metadata(#[from] metadata::MetadataError),
    /// The commit is not known for sure.
    #[error(transparent)]
    Source(#[from] source::SourceError),
    /// The archive could not be written.
    #[error("failed to pack {what}")]
    Pack {
        /// What part of it.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Beyond the limit.
    #[error("the image is too large: {size} bytes unpacked, at most {limit} are allowed")]
    TooLarge {
        /// What it takes.
        size: u64,
        /// What it may take.
        limit: u64,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The command.
pub(crate) fn run(command: &Command) -> Result<ExitCode, ImageError> {
    let platform = binary::Platform::of_this_machine()?;
    let metadata = metadata::read(platform.triple)?;
    let source = source::read()?;
    let file = match &command.binary {
        Some(given) => given.clone(),
        None => binary::compile(platform, &metadata.target_directory, &source)?,
    };
    let said = binary::check(&file)?;
    let version = metadata.operator()?.version.clone();
    let content = Content {
        binary: files::read_bytes(&file)?,
        sbom: sbom::write(&metadata, &files::read(&paths::workspace().join("Cargo.lock"))?, &source)?,
    };
    let name = command.name.clone().unwrap_or_else(|| format!("{REPOSITORY}:{version}"));
    let image = content.image(platform.architecture, &Labels { version: version.clone(), source })?;
    let size = image.fit(LIMIT)?;
    let output = command.output.clone().unwrap_or_else(|| {
        let name = format!("saga-operator-{version}-{}.oci.tar", platform.architecture);
        metadata.target_directory.join("image").join(name)
    });
    files::write_bytes(&output, &image.archive(&name)?)?;
    println!("image    {name}");
    println!("program  {said}");
    println!("file     {}", output.display());
    println!("size     {size} bytes unpacked ({:.1} MiB), {} packed", mebibytes(size), image.packed());
    println!("digest   {}", image.digest());
    Ok(ExitCode::SUCCESS)
}

fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "one decimal of some millions")]
    let bytes = bytes as f64;
    bytes / (1024.0 * 1024.0)
}

/// What goes into the image.
#[derive(Debug)]
struct Content {
    binary: Vec<u8>,
    sbom: Vec<u8>,
}

impl Content {
    /// Two layers; first the one that changes less often.
    fn image(&self, architecture: &'static str, labels: &Labels) -> Result<Image, ImageError> {
        let time = labels.source.time;
        let sbom = Entry { path: SBOM, mode: 0o444, content: &self.sbom };
        let binary = Entry { path: BINARY, mode: 0o555, content: &self.binary };
        let layers = vec![
            (Layer::pack(&[sbom], time)?, "the bill of materials"),
            (Layer::pack(&[binary], time)?, "the operator"),
        ];
        Ok(Image::new(architecture, layers, labels))
    }
}

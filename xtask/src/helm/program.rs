//! Helm 3 and Helm 4, built from source when they are not there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::files;
use crate::paths;
use crate::stream;

/// A version, and the variable by which tests find its program.
#[derive(Debug)]
struct Release {
    version: &'static str,
    variable: &'static str,
    package: &'static str,
    /// Where the program keeps its version; charts may ask for it.
    stamp: &'static str,
}

const RELEASES: [Release; 2] = [
    Release {
        version: "v3.21.4",
        variable: "SAGA_TEST_HELM3",
        package: "helm.sh/helm/v3/cmd/helm",
        stamp: "helm.sh/helm/v3/internal/version.version",
    },
    Release {
        version: "v4.2.3",
        variable: "SAGA_TEST_HELM4",
        package: "helm.sh/helm/v4/cmd/helm",
        stamp: "helm.sh/helm/v4/internal/version.version",
    },
];

/// It could not be built.
#[derive(Debug, thiserror::Error)]
enum NotInstalled {
    /// There is no compiler.
    #[error("go was not found on the PATH: Helm {0} is built from source (https://go.dev/dl/)")]
    NoGo(&'static str),
    /// The build failed.
    #[error("failed to build Helm {0}, see above: it needs Go 1.26 or later and the Go module proxy (GOPROXY)")]
    Failed(&'static str),
}

/// The programs by the names of their variables; builds them first when they are not there.
pub(crate) fn variables(mut say: impl FnMut(&str)) -> Result<Vec<(&'static str, PathBuf)>, Box<dyn std::error::Error>> {
    RELEASES.iter().map(|release| Ok((release.variable, release.installed(&mut say)?))).collect()
}

impl Release {
    fn installed(&self, say: &mut dyn FnMut(&str)) -> Result<PathBuf, Box<dyn std::error::Error>> {
        let tools = paths::cache()?.join("tools");
        let directory = tools.join(format!("helm-{}", self.version.trim_start_matches('v')));
        let own = directory.join("helm");
        if let Some(found) = paths::on_path("helm").into_iter().chain([own.clone()]).find(|path| self.is(path)) {
            return Ok(found);
        }
        let _lock = files::lock(&tools.join("lock"), || say("waiting: another run installs a tool"))?;
        if self.is(&own) {
            return Ok(own);
        }
        let go = paths::on_path("go").ok_or(NotInstalled::NoGo(self.version))?;
        say(&format!("building Helm {}: once, 2 to 3 minutes on 2 cores", self.version));
        let partial = directory.with_extension("partial");
        files::remove_directory(&partial)?;
        let flags = format!("-s -w -X {}={}", self.stamp, self.version);
        let mut build = Command::new(go);
        build.args(["install", "-trimpath", "-buildvcs=false", "-ldflags", &flags]);
        build.arg(format!("{}@{}", self.package, self.version));
        // Only this program's rules: no workspace file, no flags of another project, no C compiler.
        build.env("GOBIN", &partial).env("GOWORK", "off").env("GOFLAGS", "").env("CGO_ENABLED", "0");
        build.env("GOTOOLCHAIN", "local");
        let done = stream::lines(&mut build, |line| {
            if !line.starts_with("go: downloading ") {
                say(line);
            }
        })?;
        if !done.status.success() || !self.is(&partial.join("helm")) {
            return Err(NotInstalled::Failed(self.version).into());
        }
        files::remove_directory(&directory)?;
        files::rename(&partial, &directory)?;
        Ok(own)
    }

    /// Whether a program is this release.
    fn is(&self, program: &Path) -> bool {
        let output = Command::new(program).args(["version", "--template", "{{.Version}}"]).output();
        output.is_ok_and(|output| output.status.success() && output.stdout.trim_ascii() == self.version.as_bytes())
    }
}

//! What tests and shells are told about a cluster.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::state::State;
use crate::paths;

/// The variable that chooses the cluster; its only value is [`KUBECONFIG_CLUSTER`].
pub(crate) const CHOICE: &str = "SAGA_TEST_CLUSTER";
/// Use the cluster of `KUBECONFIG`.
pub(crate) const KUBECONFIG_CLUSTER: &str = "kubeconfig";

const KUBECONFIG: &str = "KUBECONFIG";
const TEST_KUBECONFIG: &str = "SAGA_TEST_KUBECONFIG";
const TEST_KUBECTL: &str = "SAGA_TEST_KUBECTL";
const TEST_BIN_DIR: &str = "SAGA_TEST_BIN_DIR";
const TEST_ETCD: &str = "SAGA_TEST_ETCD";
/// Where the API server writes what was asked of it.
pub(super) const AUDIT_LOG: &str = "SAGA_AUDIT_LOG";

/// All that may be set, for those who must not inherit any of it.
pub(crate) const NAMES: [&str; 6] = [KUBECONFIG, TEST_KUBECONFIG, TEST_KUBECTL, TEST_BIN_DIR, TEST_ETCD, AUDIT_LOG];

/// Variables with their values.
pub(crate) type Variables = Vec<(&'static str, OsString)>;

/// Somebody else's cluster was asked for, but not named.
#[derive(Debug, thiserror::Error)]
#[error("the cluster of the kubeconfig was asked for, but KUBECONFIG is not set")]
pub(crate) struct NoKubeconfig;

/// Whether the environment asks for the cluster of `KUBECONFIG`.
pub(crate) fn asks_for_kubeconfig() -> bool {
    env::var_os(CHOICE).is_some_and(|value| value == KUBECONFIG_CLUSTER)
}

/// The variables of a cluster started here.
pub(crate) fn of(state: &State) -> Variables {
    let mut path = vec![state.programs.clone()];
    path.extend(env::var_os("PATH").iter().flat_map(env::split_paths).filter(|entry| *entry != state.programs));
    let mut variables = vec![
        (KUBECONFIG, state.kubeconfig().into()),
        (TEST_KUBECONFIG, state.kubeconfig().into()),
        (TEST_KUBECTL, state.programs.join("kubectl").into()),
        (TEST_BIN_DIR, state.programs.clone().into()),
        (TEST_ETCD, state.etcd.clone().into()),
        (AUDIT_LOG, state.audit_log().into()),
    ];
    // A directory with a colon in its name cannot be on the PATH.
    variables.extend(env::join_paths(path).ok().map(|path| ("PATH", path)));
    variables
}

/// The variables of the cluster of `KUBECONFIG`. Its audit log and its etcd are out of reach.
pub(crate) fn of_kubeconfig() -> Result<Variables, NoKubeconfig> {
    let kubeconfig = env::var_os(KUBECONFIG).filter(|value| !value.is_empty()).ok_or(NoKubeconfig)?;
    let mut variables = vec![(KUBECONFIG, kubeconfig.clone()), (TEST_KUBECONFIG, kubeconfig)];
    let kubectl: Option<PathBuf> = paths::on_path("kubectl");
    if let Some(directory) = kubectl.as_deref().and_then(Path::parent) {
        variables.push((TEST_BIN_DIR, directory.into()));
    }
    variables.extend(kubectl.map(|kubectl| (TEST_KUBECTL, kubectl.into())));
    Ok(variables)
}

/// The variables as a POSIX shell reads them.
pub(crate) fn exports(variables: &Variables) -> String {
    let quoted = |value: &OsString| value.to_string_lossy().replace('\'', r"'\''");
    variables.iter().map(|(name, value)| format!("export {name}='{}'\n", quoted(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_shell() -> Result<(), Box<dyn std::error::Error>> {
        let script = exports(&vec![("KUBECONFIG", "/it's $HOME/\"x\"".into())]) + "printf %s \"$KUBECONFIG\"";
        let output = std::process::Command::new("sh").arg("-c").arg(script).output()?;
        assert_eq!(String::from_utf8(output.stdout)?, "/it's $HOME/\"x\"");
        Ok(())
    }
}

//! The files of the charts that are made from others: the kinds, the schemas of the values and their tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::values::{self, ValuesError};
use crate::files::{self, FileError};

const CHARTS: [&str; 2] = ["charts/saga-operator", "charts/saga-operator-crds"];
const KINDS: &str = "charts/saga-operator-crds/templates";
const BEGIN: &str = "<!-- made from values.yaml by `cargo xtask generate` -->\n";
const END: &str = "<!-- end -->\n";
const METADATA: &str = "\nmetadata:\n";

/// A chart's files could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChartError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Values are not documented.
    #[error("failed to read {chart}/values.yaml")]
    Values {
        /// Which.
        chart: &'static str,
        /// Why.
        #[source]
        source: ValuesError,
    },
    /// There is no place for the table.
    #[error("{0}/README.md has no place for the values: two lines, {BEGIN}and {END}")]
    NoPlace(&'static str),
    /// It would not come out of Helm as it goes in.
    #[error("{} cannot be a template: {said}", path.display())]
    NoTemplate {
        /// Which.
        path: PathBuf,
        /// Why.
        said: &'static str,
    },
}

/// What the files should hold, by their paths below the root.
pub(crate) fn files(root: &Path) -> Result<BTreeMap<PathBuf, String>, ChartError> {
    let mut made = BTreeMap::new();
    for chart in CHARTS {
        let values = values::read(&files::read(&root.join(chart).join("values.yaml"))?);
        let values = values.map_err(|source| ChartError::Values { chart, source })?;
        made.insert(Path::new(chart).join("values.schema.json"), values::schema(&values));
        let readme = files::read(&root.join(chart).join("README.md"))?;
        let with_table = with_table(&readme, &values::table(&values)).ok_or(ChartError::NoPlace(chart))?;
        made.insert(Path::new(chart).join("README.md"), with_table);
    }
    for name in files::names(&root.join("crds"))? {
        let path = Path::new("crds").join(&name);
        let kind = template(&files::read(&root.join(&path))?);
        made.insert(Path::new(KINDS).join(&name), kind.map_err(|said| ChartError::NoTemplate { path, said })?);
    }
    Ok(made)
}

fn with_table(readme: &str, table: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// A kind as a template: the same but for labels and annotations.
fn template(kind: &str) -> Result<String, &'static str> {
    if kind.contains("{{") {
        return Err("it holds two braces in a row");
    }
    let (before, after) = kind.split_once(METADATA).ok_or("it has no metadata")?;
    Ok(format!("{before}{METADATA}  {{{{- include \"saga-operator-crds.metadata\" . | nindent 2 }}}}\n{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_gets_labels_and_keeps_the_rest() {
        let kind = "kind: X\nmetadata:\n  name: a\nspec:\n  metadata:\n";
        let wanted = "kind: X\nmetadata:\n  {{- include \"saga-operator-crds.metadata\" . | nindent 2 }}\n  name: a\nspec:\n  metadata:\n";
        assert_eq!(template(kind).as_deref(), Ok(wanted));
        assert!(template("kind: X\nmetadata:\n  name: '{{ a }}'\n").is_err());
        assert!(template("kind: X\n").is_err());
    }

    #[test]
    fn the_table_goes_between_its_marks_and_nowhere_else() {
        let readme = format!("# A\n{BEGIN}old\n{END}after\n");
        let wanted = format!("# A\n{BEGIN}\nnew\n\n{END}after\n");
        assert_eq!(with_table(&readme, "new\n").as_deref(), Some(wanted.as_str()));
        assert_eq!(with_table(&wanted, "new\n").as_deref(), Some(wanted.as_str()));
        assert_eq!(with_table("# A\n", "new\n"), None);
    }
}

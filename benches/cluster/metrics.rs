//! What the API server and etcd say about themselves.

use std::collections::BTreeMap;

use super::common::text;
use super::install::Cluster;

/// What was spent since the processes began.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    /// Requests by verb and resource, such as `PUT sagaruns/status`.
    pub(crate) requests: BTreeMap<String, f64>,
    /// Processor seconds of the API server.
    pub(crate) server_cpu: f64,
    /// Of etcd, when it can be reached.
    pub(crate) etcd: Option<Etcd>,
}

/// What etcd spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Etcd {
    pub(crate) cpu: f64,
    /// Bytes of keys and values put.
    pub(crate) put: f64,
}

impl Cost {
    pub(crate) async fn read(cluster: &Cluster) -> Result<Self, String> {
        let server = get(&cluster.admin).await?;
        let mut requests = BTreeMap::new();
        for (labels, value) in samples(&server, "apiserver_request_total") {
            let [verb, resource, subresource] = ["verb", "resource", "subresource"].map(|name| label(labels, name));
            let slash = if subresource.is_empty() { "" } else { "/" };
            *requests.entry(format!("{verb} {resource}{slash}{subresource}")).or_default() += value;
        }
        let etcd = match &cluster.etcd {
            Some(client) => {
                let etcd = get(client).await?;
                let put = total(&etcd, "etcd_debugging_mvcc_total_put_size_in_bytes");
                Some(Etcd { cpu: total(&etcd, "process_cpu_seconds_total"), put })
            }
            None => None,
        };
        Ok(Self { requests, server_cpu: total(&server, "process_cpu_seconds_total"), etcd })
    }

    /// What was spent since then.
    pub(crate) fn since(mut self, then: &Self) -> Self {
        for (request, count) in &mut self.requests {
            *count -= then.requests.get(request).copied().unwrap_or_default();
        }
        self.server_cpu -= then.server_cpu;
        if let (Some(now), Some(then)) = (&mut self.etcd, then.etcd) {
            now.cpu -= then.cpu;
            now.put -= then.put;
        }
        self
    }

    /// Requests of one kind.
    pub(crate) fn count(&self, request: &str) -> f64 {
        self.requests.get(request).copied().unwrap_or_default()
    }

    /// What the operator wrote to runs: nobody else uses these verbs.
    pub(crate) fn writes(&self) -> f64 {
        ["PUT sagaruns/status", "PATCH sagaruns", "APPLY sagaruns"].map(|request| self.count(request)).iter().sum()
    }
}

async fn get(client: &kube::Client) -> Result<String, String> {
    let request = http::Request::get("/metrics").body(Vec::new()).map_err(text)?;
    client.request_text(request).await.map_err(|error| format!("failed to read /metrics: {error}"))
}

/// The samples of a metric: labels and value.
fn samples<'a>(metrics: &'a str, name: &str) -> impl Iterator<Item = (&'a str, f64)> {
    metrics.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        Some((labels, value.trim().parse().ok()?))
    })
}

fn total(metrics: &str, name: &str) -> f64 {
    samples(metrics, name).map(|(_, value)| value).sum()
}

fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let value = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
    value.and_then(|value| value.strip_suffix('"')).unwrap_or_default()
}

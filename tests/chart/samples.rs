//! For each value of the chart another one than the default, and what it must bring.

use serde_json::{Value, json};

use super::helm::{CHART, at, leaves};

pub(crate) struct Sample {
    pub(crate) path: &'static str,
    pub(crate) value: Value,
    /// Other values that it needs to have an effect.
    pub(crate) beside: Value,
    /// Stands in an object because of it; empty where something goes.
    pub(crate) shows: &'static str,
}

fn plain(path: &'static str, value: Value, shows: &'static str) -> Sample {
    Sample { path, value, beside: json!({}), shows }
}

fn monitored() -> Value {
    json!({"metrics": {"serviceMonitor": {"enabled": true}}})
}

pub(crate) fn samples() -> Vec<Sample> {
    let digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123";
    let off = |path| plain(path, json!(false), "");
    vec![
        plain(
            "affinity",
            json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "fast", "operator": "Exists"}]}}]}}),
            "\"fast\"",
        ),
        plain("allowDestinations", json!(["api.example.com@shop"]), "--allow-destination=api.example.com@shop"),
        plain("caBundle.configMap", json!("authorities"), "--ca-file=/etc/saga-operator/ca/bundle.crt"),
        Sample {
            path: "caBundle.key",
            value: json!("roots.pem"),
            beside: json!({"caBundle": {"configMap": "authorities"}}),
            shows: "\"key\":\"roots.pem\"",
        },
        plain("callsPerParticipant", json!(7), "--calls-per-participant=7"),
        plain("clusterDomain", json!("example.internal"), "--cluster-domain=example.internal"),
        plain("commonAnnotations", json!({"note": "common-note"}), "common-note"),
        plain("commonLabels", json!({"team": "common-team"}), "common-team"),
        plain("demo.enabled", json!(true), "--listen=0.0.0.0:8080"),
        plain("deploymentAnnotations", json!({"note": "deployment-note"}), "deployment-note"),
        plain("dnsConfig", json!({"options": [{"name": "ndots", "value": "1"}]}), "\"ndots\""),
        plain("extraArgs", json!(["--insecure-allow-loopback"]), "\"--insecure-allow-loopback\""),
        plain("extraEnv", json!([{"name": "MORE", "value": "much"}]), "\"much\""),
        plain("extraEnvFrom", json!([{"configMapRef": {"name": "environment"}}]), "\"envFrom\""),
        plain(
            "extraObjects",
            json!([{
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "extra-{{ .Release.Name }}", "namespace": "{{ .Release.Namespace }}"},
            }]),
            "\"extra-saga-operator\"",
        ),
        plain("extraVolumeMounts", json!([{"name": "more", "mountPath": "/more"}]), "\"/more\""),
        plain("extraVolumes", json!([{"name": "more", "emptyDir": {}}]), "\"name\":\"more\""),
        off("flowSchemas.enabled"),
        plain("flowSchemas.matchingPrecedence", json!(42), "\"matchingPrecedence\":43"),
        plain("flowSchemas.runsPriorityLevel", json!("global-default"), "global-default"),
        plain("fullnameOverride", json!("whole"), "\"name\":\"whole\""),
        plain("healthProbe.liveness", json!({"periodSeconds": 21}), "\"periodSeconds\":21"),
        plain("healthProbe.port", json!(9081), "--health-probe-bind-address=:9081"),
        plain("healthProbe.readiness", json!({"periodSeconds": 22}), "\"periodSeconds\":22"),
        plain("image.digest", json!(digest), "saga-operator@sha256:0123"),
        plain("image.pullPolicy", json!("Always"), "\"Always\""),
        plain("image.registry", json!("registry.example"), "registry.example/saga-operator/saga-operator:"),
        plain("image.repository", json!("mirror/operator"), "ghcr.io/mirror/operator:"),
        plain("image.tag", json!("9.9.9"), "saga-operator:9.9.9"),
        plain("imagePullSecrets", json!([{"name": "pull-me"}]), "pull-me"),
        Sample {
            path: "leaderElection.enabled",
            value: json!(false),
            beside: json!({}),
            shows: "--leader-elect=false",
        },
        plain("leaderElection.leaseDuration", json!("1m"), "--leader-elect-lease-duration=1m"),
        plain("leaderElection.renewDeadline", json!("9s"), "--leader-elect-renew-deadline=9s"),
        plain("leaderElection.resourceName", json!("the-lease"), "--leader-elect-resource-name=the-lease"),
        plain("leaderElection.resourceNamespace", json!("leases"), "--leader-elect-resource-namespace=leases"),
        plain("leaderElection.retryPeriod", json!("500ms"), "--leader-elect-retry-period=500ms"),
        plain("leaderElection.shards", json!(3), "--shards=3"),
        plain("log.filter", json!("debug"), "--log=debug"),
        plain("log.format", json!("text"), "--log-format=text"),
        plain("metrics.dashboard.enabled", json!(true), "\"saga-operator-dashboard\""),
        Sample {
            path: "metrics.dashboard.labels",
            value: json!({"for": "grafana"}),
            beside: json!({"metrics": {"dashboard": {"enabled": true}}}),
            shows: "\"for\":\"grafana\"",
        },
        off("metrics.enabled"),
        Sample { path: "metrics.interval", value: json!("7s"), beside: monitored(), shows: "\"interval\":\"7s\"" },
        Sample {
            path: "metrics.labels",
            value: json!({"prometheus": "main"}),
            beside: monitored(),
            shows: "\"prometheus\":\"main\"",
        },
        plain("metrics.podMonitor.enabled", json!(true), "\"PodMonitor\""),
        plain("metrics.port", json!(9090), "--metrics-bind-address=:9090"),
        plain("metrics.prometheusRule.enabled", json!(true), "SagaOperatorWithoutLeader"),
        plain("metrics.serviceMonitor.enabled", json!(true), "\"ServiceMonitor\""),
        plain("nameOverride", json!("part"), "\"saga-operator-part\""),
        plain("networkPolicy.apiServerPorts", json!([7443]), "7443"),
        off("networkPolicy.enabled"),
        plain(
            "networkPolicy.metricsFrom",
            json!([{"podSelector": {"matchLabels": {"app": "prometheus"}}}]),
            "\"app\":\"prometheus\"",
        ),
        plain("networkPolicy.extraEgress", json!([{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]), "192.0.2.0/24"),
        plain("nodeSelector", json!({"pool": "sagas"}), "\"pool\":\"sagas\""),
        plain("podAnnotations", json!({"note": "pod-note"}), "pod-note"),
        plain("podAntiAffinity", json!("hard"), "requiredDuringSchedulingIgnoredDuringExecution"),
        off("podDisruptionBudget.enabled"),
        plain("podDisruptionBudget.maxUnavailable", json!("50%"), "\"50%\""),
        plain("podLabels", json!({"team": "pod-team"}), "pod-team"),
        off("policies.finalizers.enabled"),
        off("policies.interventions.enabled"),
        off("policies.retainAtCreation.enabled"),
        off("policies.secrets.enabled"),
        plain("priorityClassName", json!("system-cluster-critical"), "system-cluster-critical"),
        off("rbac.create"),
        plain("replicaCount", json!(3), "\"replicas\":3"),
        plain("resources", json!({"limits": {"memory": "123Mi"}}), "123Mi"),
        plain("revisionHistoryLimit", json!(11), "\"revisionHistoryLimit\":11"),
        plain("serviceAccount.annotations", json!({"note": "account-note"}), "account-note"),
        Sample {
            path: "serviceAccount.create",
            value: json!(false),
            beside: json!({"serviceAccount": {"name": "theirs"}}),
            shows: "\"serviceAccountName\":\"theirs\"",
        },
        plain("serviceAccount.name", json!("theirs"), "system:serviceaccount:saga-system:theirs"),
        plain("serviceAccount.tokenExpirationSeconds", json!(601), "\"expirationSeconds\":601"),
        plain("shutdownGraceSeconds", json!(100), "\"terminationGracePeriodSeconds\":115"),
        plain("tolerations", json!([{"key": "spot", "operator": "Exists"}]), "\"spot\""),
        plain(
            "topologySpreadConstraints",
            json!([{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}]),
            "\"rack\"",
        ),
        off("userRoles.aggregate"),
        off("userRoles.create"),
        plain("watchNamespaces", json!(["shop"]), "--watch-namespace=shop"),
        plain("zoneSpread", json!("hard"), "DoNotSchedule"),
    ]
}

/// Every switch off, or every switch on together with a sample of everything else.
pub(crate) fn all(on: bool) -> Value {
    let mut values = json!({});
    for (path, schema) in leaves(CHART) {
        if schema["type"] == "boolean" {
            values = at(values, &path, json!(on));
        }
    }
    if !on {
        return at(values, "serviceAccount.name", json!("somebody"));
    }
    for sample in samples() {
        if sample.value != json!(false) {
            values = at(values, sample.path, sample.value);
        }
    }
    values
}

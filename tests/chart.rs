//! The charts as Helm renders them: every value, on and off, alone and together.

#[path = "chart/helm.rs"]
mod helm;
#[path = "chart/monitoring.rs"]
mod monitoring;
#[path = "chart/samples.rs"]
mod samples;
#[path = "chart/typed.rs"]
mod typed;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;

use helm::{CHART, Helm, KINDS, NAMESPACE, at, leaves, name, objects, read};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use saga_operator::api::schema::crds;
use samples::{all, samples};
use serde_json::{Value, json};

/// Looks at many renderings, some at a time; collects what is wrong.
fn for_each<T: Sync>(cases: &[T], look: impl Fn(&Helm, &T) -> Result<(), String> + Sync) {
    let faults = Mutex::new(Vec::new());
    let (look, faults_seen) = (&look, &faults);
    std::thread::scope(|scope| {
        for cases in cases.chunks(cases.len().div_ceil(4).max(1)) {
            scope.spawn(move || {
                let helm = Helm::three();
                for case in cases {
                    if let Err(fault) = look(&helm, case) {
                        faults_seen.lock().expect("not poisoned").push(fault);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().expect("not poisoned");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What must hold of every rendering.
fn check(objects: &[Value]) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for object in objects {
        if let Some(fault) = typed::fault(object) {
            return Err(format!("{}: {fault}", name(object)));
        }
        let place = format!("{} in {}", name(object), object["metadata"]["namespace"]);
        if seen.insert(place.clone(), ()).is_some() {
            return Err(format!("{place} is there twice"));
        }
        let text = object.to_string();
        if text.contains(":latest") || text.contains("<no value>") {
            return Err(format!("{}: {text}", name(object)));
        }
    }
    Ok(())
}

fn find<'a>(objects: &'a [Value], kind: &str, wanted: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == wanted);
    found.ok_or_else(|| format!("there is no {kind} {wanted}")).expect("an object")
}

fn rendered(values: &Value) -> Vec<Value> {
    let objects = Helm::three().render(values).expect("rendered");
    check(&objects).expect("well-formed");
    objects
}

#[test]
fn both_versions_of_helm_find_nothing_wrong_with_the_charts() {
    for helm in [Helm::three(), Helm::four()] {
        let output = helm.run(&["lint", "--strict", CHART, KINDS]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("0 chart(s) failed"), "{said}");
        assert!(!said.contains("WARNING") && !said.contains("ERROR"), "{said}");
    }
}

#[test]
fn every_switch_renders_in_each_of_its_positions() {
    let mut cases = vec![("the defaults".to_owned(), json!({}))];
    for (path, schema) in leaves(CHART) {
        let positions = match &schema["enum"] {
            Value::Array(choices) => choices.clone(),
            _ if schema["type"] == "boolean" => vec![json!(true), json!(false)],
            _ => continue,
        };
        // What an account is called must be said when it is not made.
        let base = at(json!({}), "serviceAccount.name", json!("somebody"));
        cases.extend(positions.into_iter().map(|to| (format!("{path} = {to}"), at(base.clone(), &path, to))));
    }
    assert!(cases.len() > 30, "only {} cases", cases.len());
    for_each(&cases, |helm, (what, values)| {
        helm.render(values).and_then(|objects| check(&objects)).map_err(|fault| format!("{what}: {fault}"))
    });
}

#[test]
fn everything_on_and_everything_off_is_the_same_with_both_versions_of_helm() {
    for values in [json!({}), all(true), all(false)] {
        let three = rendered(&values);
        // The order of kinds that Helm does not know is its own business.
        let sorted = |mut objects: Vec<Value>| {
            objects.sort_by_key(|object| format!("{} {}", name(object), object["metadata"]["namespace"]));
            objects
        };
        assert_eq!(sorted(three), sorted(Helm::four().render(&values).expect("rendered")));
    }
    // What is left is needed: the operator, and the hooks of `helm test`.
    let kinds: Vec<_> = rendered(&all(false)).iter().map(name).collect();
    let wanted = [
        "Deployment saga-operator",
        "ConfigMap saga-operator-test",
        "Service saga-operator-test",
        "Pod saga-operator-test",
    ];
    for object in wanted {
        assert!(kinds.contains(&object.to_owned()), "{object} is not among {kinds:?}");
    }
    assert_eq!(kinds.len(), wanted.len(), "{kinds:?}");
}

#[test]
fn every_value_changes_what_is_rendered() {
    let mut sampled: Vec<_> = samples().iter().map(|sample| sample.path.to_owned()).collect();
    sampled.sort();
    // The first is for parent charts and has no effect on purpose; the other needs an API server that lacks something.
    let elsewhere = ["global", "metrics.renderMode"];
    let known = leaves(CHART).into_iter().map(|(path, _)| path).filter(|path| !elsewhere.contains(&path.as_str()));
    assert_eq!(sampled, known.collect::<Vec<_>>(), "each value needs a sample");
    for_each(&samples(), |helm, sample| {
        let values = at(sample.beside.clone(), sample.path, sample.value.clone());
        let with = helm.render(&values).map_err(|fault| format!("{}: {fault}", sample.path))?;
        check(&with).map_err(|fault| format!("{}: {fault}", sample.path))?;
        let without = helm.render(&sample.beside)?;
        let text = with.iter().map(Value::to_string).collect::<String>();
        if with == without {
            return Err(format!("{} changes nothing", sample.path));
        }
        if !text.contains(sample.shows) {
            return Err(format!("{} does not bring {}", sample.path, sample.shows));
        }
        Ok(())
    });
}

#[test]
fn a_wrong_value_is_refused_by_its_name() {
    let cases = [
        ("replicaCuont", json!(2), "replicaCuont"),
        ("image.tga", json!("1"), "tga"),
        ("replicaCount", json!("two"), "/replicaCount"),
        ("replicaCount", json!(-1), "/replicaCount"),
        ("image.tag", json!("latest"), "/image/tag"),
        ("image.digest", json!("sha256:abc"), "/image/digest"),
        ("image.pullPolicy", json!("Sometimes"), "/image/pullPolicy"),
        ("podAntiAffinity", json!("yes"), "/podAntiAffinity"),
        ("allowDestinations", json!(["a b"]), "/allowDestinations/0"),
        ("watchNamespaces", json!(["a", "b"]), "/watchNamespaces"),
        ("watchNamespaces", json!("shop"), "/watchNamespaces"),
        ("log.format", json!("xml"), "/log/format"),
        ("healthProbe.port", json!(80), "/healthProbe/port"),
        ("extraEnv", json!([{"value": "x"}]), "/extraEnv/0"),
        ("networkPolicy.apiServerPorts", json!([]), "/networkPolicy/apiServerPorts"),
        ("podDisruptionBudget.maxUnavailable", json!(0), "/podDisruptionBudget/maxUnavailable"),
        ("leaderElection.leaseDuration", json!("15"), "/leaderElection/leaseDuration"),
        ("leaderElection.leaseDuration", json!("1500ms"), "/leaderElection/leaseDuration"),
        ("leaderElection.leaseDuration", json!("11m"), "leaderElection.leaseDuration is 11m, and must be at most 10m"),
        (
            "leaderElection.leaseDuration",
            json!("10s"),
            "leaderElection.renewDeadline is 10s, and must be shorter than leaderElection.leaseDuration, which is 10s",
        ),
        (
            "leaderElection.retryPeriod",
            json!("9s"),
            "leaderElection.retryPeriod is 9s, and 1.2 times that must be shorter than leaderElection.renewDeadline",
        ),
        ("leaderElection.retryPeriod", json!("10ms"), "must be at least 50ms"),
        ("metrics.port", json!(8081), "metrics.port is 8081, and must not be healthProbe.port"),
        ("metrics.renderMode", json!("sometimes"), "/metrics/renderMode"),
        ("metrics.interval", json!("often"), "/metrics/interval"),
        (
            "metrics",
            json!({"enabled": false, "podMonitor": {"enabled": true}}),
            "metrics.podMonitor.enabled is true, and metrics.enabled must be too",
        ),
        ("leaderElection.shards", json!(0), "/leaderElection/shards"),
        ("leaderElection.shards", json!(65), "/leaderElection/shards"),
        ("serviceAccount.create", json!(false), "serviceAccount.name must name an account"),
    ];
    for_each(&cases, |helm, (path, value, wanted)| match helm.render(&at(json!({}), path, value.clone())) {
        Ok(_) => Err(format!("{path} = {value} is accepted")),
        Err(said) if said.contains(wanted) => Ok(()),
        Err(said) => Err(format!("{path} = {value}: {said}")),
    });
    let said = Helm::three().text(KINDS, &json!({"keep": false}), &[]).expect_err("refused");
    assert!(said.contains("keep"), "{said}");
}

#[test]
fn what_the_api_server_lacks_is_left_out() {
    let helm = Helm::three();
    let values = json!({"demo": {"enabled": true}});
    let kinds = |more: &[&str]| -> Vec<String> {
        let text = helm.text(CHART, &values, more).expect("rendered");
        objects(&text).iter().map(|object| object["kind"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let old = kinds(&["--kube-version", "1.33.0"]);
    assert!(!old.iter().any(|kind| kind.starts_with("Mutating") || kind == "SagaDefinition"), "{old:?}");
    let new = kinds(&[
        "--kube-version",
        "1.37.1-gke.100",
        "--api-versions",
        helm::SERVED[1],
        "--api-versions",
        helm::SERVED[0],
    ]);
    assert_eq!(new.len(), old.len() + 3, "{new:?}");
    let said = helm.text(CHART, &values, &["--kube-version", "1.32.9"]).expect_err("refused");
    assert!(said.contains("requires kubeVersion: >=1.33.0-0"), "{said}");
}

#[test]
fn monitors_are_made_where_there_is_something_to_read_them() {
    let helm = Helm::three();
    let count = |mode: &str, more: &[&str]| -> Result<usize, String> {
        let on = json!({"enabled": true});
        let metrics = json!({"serviceMonitor": on, "podMonitor": on, "prometheusRule": on, "renderMode": mode});
        let more: Vec<_> = ["--kube-version", "1.36.0"].into_iter().chain(more.iter().copied()).collect();
        let text = helm.text(CHART, &json!({"metrics": metrics}), &more)?;
        let ours = |object: &&Value| object["apiVersion"] == "monitoring.coreos.com/v1";
        Ok(objects(&text).iter().filter(ours).count())
    };
    let one = ["--api-versions", helm::MONITORED[0]];
    assert_eq!((count("skipIfMissing", &[]), count("skipIfMissing", &one)), (Ok(0), Ok(1)));
    assert_eq!(count("alwaysRender", &[]), Ok(3));
    let said = count("failIfMissing", &one).expect_err("refused");
    assert!(said.contains("does not serve the kind"), "{said}");
}

#[test]
fn alerts_and_dashboard_speak_of_metrics_that_the_operator_serves() {
    let objects = rendered(&at(all(true), "metrics.prometheusRule.enabled", json!(true)));
    let dashboard = objects.iter().find_map(|object| object["data"]["saga-operator.json"].as_str());
    let dashboard: Value = serde_json::from_str(dashboard.expect("a dashboard")).expect("JSON");
    let rules = objects.iter().find(|object| object["kind"] == "PrometheusRule").expect("alerts");
    let (shown, watched) = (monitoring::expressions(&dashboard), monitoring::expressions(rules));
    assert!(shown.len() >= 5 && watched.len() >= 5, "{shown:?} {watched:?}");
    for expression in shown.iter().chain(&watched) {
        let named = monitoring::named(expression);
        assert!(!named.is_empty() && named.is_subset(&monitoring::served()), "{expression}");
    }
    // Without an election there is no leader to miss.
    let alone = json!({"leaderElection": {"enabled": false}, "metrics": {"prometheusRule": {"enabled": true}}});
    let alone = rendered(&alone);
    let rules = alone.iter().find(|object| object["kind"] == "PrometheusRule").expect("alerts");
    assert!(!rules.to_string().contains("leader_election_"), "{rules}");
}

#[test]
fn what_selects_pods_selects_them_and_what_refers_finds_it() {
    for values in [json!({"demo": {"enabled": true}}), at(all(true), "fullnameOverride", json!("other"))] {
        let objects = rendered(&values);
        let mut pods: Vec<(&Value, &Value)> = Vec::new();
        for object in &objects {
            match object["kind"].as_str() {
                Some("Deployment") => {
                    let labels = &object["spec"]["template"]["metadata"]["labels"];
                    assert!(covers(&object["spec"]["selector"]["matchLabels"], labels), "{}", name(object));
                    pods.push((object, labels));
                }
                Some("Pod") => pods.push((object, &object["metadata"]["labels"])),
                _ => {}
            }
        }
        assert_eq!(pods.len(), 3);
        for object in &objects {
            let selector = match object["kind"].as_str() {
                Some("Service") => &object["spec"]["selector"],
                Some("PodDisruptionBudget") => &object["spec"]["selector"]["matchLabels"],
                Some("NetworkPolicy") => &object["spec"]["podSelector"]["matchLabels"],
                _ => continue,
            };
            let chosen = pods.iter().filter(|(_, labels)| covers(selector, labels)).count();
            assert_eq!(chosen, 1, "{} selects {chosen} of the pods", name(object));
        }
        for object in &objects {
            let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
            match object["kind"].as_str().unwrap_or_default() {
                "ClusterRoleBinding" | "RoleBinding" => {
                    find(&objects, text("/roleRef/kind"), text("/roleRef/name"));
                    let account = text("/subjects/0/name");
                    find(&objects, "ServiceAccount", account);
                    assert_eq!(text("/subjects/0/namespace"), NAMESPACE);
                }
                kind if kind.ends_with("PolicyBinding") => {
                    let policy = kind.strip_suffix("Binding").unwrap_or_default();
                    find(&objects, policy, text("/spec/policyName"));
                }
                "Deployment" if name(object).ends_with("participants") => {}
                "Deployment" => {
                    find(&objects, "ServiceAccount", text("/spec/template/spec/serviceAccountName"));
                }
                _ => {}
            }
        }
    }
}

fn covers(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("a selector");
    !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn every_object_says_whose_it_is_and_where_it_belongs() {
    for values in [all(true), json!({"demo": {"enabled": true}, "watchNamespaces": ["shop"]})] {
        for object in rendered(&values).iter().filter(|object| !name(object).starts_with("ConfigMap extra")) {
            let labels = &object["metadata"]["labels"];
            assert_eq!(
                labels["app.kubernetes.io/name"],
                values.get("nameOverride").unwrap_or(&json!("saga-operator")).clone()
            );
            assert_eq!(labels["app.kubernetes.io/version"], env!("CARGO_PKG_VERSION"), "{}", name(object));
            assert!(labels["app.kubernetes.io/component"].is_string(), "{}", name(object));
            let kind = object["kind"].as_str().unwrap_or_default();
            let wide = kind.starts_with("Cluster") || kind.contains("AdmissionPolicy") || kind == "FlowSchema";
            assert_eq!(object["metadata"]["namespace"].is_string(), !wide, "{}", name(object));
        }
    }
}

#[test]
fn the_rights_are_those_that_the_tests_run_with() {
    let tested = objects(&read("deploy/rbac.yaml"));
    let objects = rendered(&json!({}));
    for role in ["saga-operator", "saga-operator-secret-reader"] {
        assert_eq!(find(&objects, "ClusterRole", role)["rules"], find(&tested, "ClusterRole", role)["rules"]);
    }
    let bound: Vec<_> =
        objects.iter().filter(|object| object["roleRef"]["name"] == "saga-operator-secret-reader").collect();
    assert!(bound.is_empty(), "nobody but the owner of a namespace binds the right to read Secrets: {bound:?}");
}

#[test]
fn for_one_namespace_there_are_no_rights_and_no_policies_outside_of_it() {
    let objects = rendered(&json!({"watchNamespaces": ["shop"]}));
    let everywhere = find(&objects, "ClusterRole", "saga-system-saga-operator");
    let rules = everywhere["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0]["resources"], json!(["customresourcedefinitions"]));
    let role = find(&objects, "Role", "saga-operator");
    assert_eq!(role["metadata"]["namespace"], "shop");
    let all = rendered(&json!({}));
    let wide = find(&all, "ClusterRole", "saga-operator")["rules"].as_array().cloned().unwrap_or_default();
    assert_eq!(role["rules"].as_array().map(Vec::as_slice), wide.split_last().map(|(_, rest)| rest));
    for binding in objects.iter().filter(|object| name(object).contains("PolicyBinding")) {
        let chosen = &binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0];
        assert_eq!(chosen, &json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["shop"]}));
    }
}

#[test]
fn every_flag_of_the_deployment_is_one_of_the_operator() {
    let output = Command::new(env!("CARGO_BIN_EXE_saga-operator")).args(["run", "--help"]).output().expect("help");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let known = |flag: &str| help.split_whitespace().any(|word| word.trim_end_matches(',') == flag);
    let objects = rendered(&all(true));
    let deployment =
        objects.iter().find(|object| object["kind"] == "Deployment" && !name(object).ends_with("participants"));
    let deployment = deployment.expect("a Deployment");
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().expect("arguments");
    let mut flags: Vec<_> =
        arguments.iter().filter_map(Value::as_str).filter_map(|argument| argument.split('=').next()).collect();
    assert_eq!(flags.remove(0), "run");
    assert!(flags.len() > 10, "{flags:?}");
    for flag in flags {
        assert!(known(flag), "{flag}");
    }
}

#[test]
fn the_sagas_in_the_chart_are_accepted_by_the_operator() {
    let objects = rendered(&json!({"demo": {"enabled": true}}));
    let demo = find(&objects, "SagaDefinition", "saga-operator-demo").to_string();
    let test =
        find(&objects, "ConfigMap", "saga-operator-test")["data"]["saga.yaml"].as_str().expect("a saga").to_owned();
    let run = json!({
        "apiVersion": "sagas.dev/v1alpha1", "kind": "SagaRun", "metadata": {"name": "order-1"},
        "spec": {"definitionRef": {"name": "saga-operator-demo"}, "input": {"orderId": "1", "amount": 1500}},
    });
    let directory = tempfile::tempdir().expect("a directory");
    for (file, text) in [("demo.yaml", format!("{demo}\n---\n{run}\n")), ("test.yaml", test)] {
        let path = directory.path().join(file);
        std::fs::write(&path, text).expect("written");
        let output =
            Command::new(env!("CARGO_BIN_EXE_saga-operator")).arg("check").arg(&path).output().expect("checked");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}: {said}");
    }
}

#[test]
fn the_chart_of_the_kinds_has_the_kinds_and_keeps_them() {
    let values = json!({"commonLabels": {"team": "shop"}, "commonAnnotations": {"note": "here"}});
    let rendered = objects(&Helm::three().text(KINDS, &values, &["--kube-version", "1.33.0"]).expect("rendered"));
    assert_eq!(rendered.len(), crds().len());
    for kind in crds() {
        let found = find(&rendered, "CustomResourceDefinition", &kind.name_any());
        let typed: CustomResourceDefinition = serde_json::from_value(found.clone()).expect("a kind");
        assert_eq!(typed.spec, kind.spec);
        let annotations = &found["metadata"]["annotations"];
        assert_eq!((&annotations["helm.sh/resource-policy"], &annotations["note"]), (&json!("keep"), &json!("here")));
        assert_eq!(found["metadata"]["labels"]["team"], "shop");
    }
}

#[test]
fn the_charts_carry_the_operators_version_and_image() {
    let image = format!("ghcr.io/saga-operator/saga-operator:{}", env!("CARGO_PKG_VERSION"));
    for chart in [CHART, KINDS] {
        let chart: Value = serde_saphyr::from_str(&read(format!("{chart}/Chart.yaml"))).expect("YAML");
        assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
        assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(chart["kubeVersion"], ">=1.33.0-0");
    }
    let chart: Value = serde_saphyr::from_str(&read(format!("{CHART}/Chart.yaml"))).expect("YAML");
    let images = chart["annotations"]["artifacthub.io/images"].as_str().expect("images");
    assert!(images.contains(&format!("image: {image}\n")), "{images}");
    for object in rendered(&json!({"demo": {"enabled": true}})) {
        let pod = if object["kind"] == "Pod" { &object["spec"] } else { &object["spec"]["template"]["spec"] };
        for container in pod["containers"].as_array().into_iter().flatten() {
            assert_eq!(container["image"], json!(image), "{}", name(&object));
        }
    }
    let examples = chart["annotations"]["artifacthub.io/crdsExamples"].as_str().expect("examples");
    let examples: Vec<Value> = serde_saphyr::from_str(examples).expect("YAML");
    assert_eq!(typed::fault(&examples[0]), None);
}

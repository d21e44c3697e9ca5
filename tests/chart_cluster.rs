//! The chart on a real API server: rights and policies do what they say, and say what to do.

mod common;
#[path = "chart/helm.rs"]
#[allow(dead_code)] // the other test of the chart uses the rest
mod helm;
#[path = "chart/installed.rs"]
mod installed;
#[path = "chart/samples.rs"]
#[allow(dead_code)] // as above
mod samples;

use common::cluster;
use common::strict::{definition, run};
use helm::{CHART, Helm, RELEASE, SERVED, at, name, objects};
use http::Request;
use installed::{Installed, Try, allowed, denied, send, until};
use kube::Client;
use samples::all;
use serde_json::{Value, json};

/// The rights to change runs and definitions, as `saga-run` and `saga-define` give them.
fn edit() -> Value {
    let verbs = ["get", "create", "update", "patch", "delete"];
    json!({"apiGroups": ["sagas.dev"], "resources": ["sagaruns", "sagadefinitions"], "verbs": verbs})
}

fn decision(id: &str, by: &str) -> Value {
    json!({
        "id": id, "step": "reserve", "direction": "Compensate", "action": "Retry", "reason": "the inventory is back",
        "requestedBy": by,
    })
}

fn decisions(all: &[Value]) -> Value {
    json!({"spec": {"interventions": all}})
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_intervene_intervenes_and_only_in_their_own_name() {
    let world = Installed::new("policy-people", Helm::three(), json!({})).await;
    let (runs, order) = (world.path("sagaruns"), world.path("sagaruns/order"));
    send(&world.admin, &runs, &run("order"), Try::Really).await.expect("created");
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    for user in ["alice", "bob"] {
        world.grant(user, edit()).await;
    }

    allowed(&bob, &order, &json!({"spec": {"suspend": true}}), Try::Really).await;
    let said = denied(&bob, &order, &decisions(&[decision("1", "bob")])).await;
    let wanted = format!(
        "user bob must be allowed to update sagaruns/interventions to add to `spec.interventions`: ask for the \
         ClusterRole saga-intervene in the namespace {}",
        world.namespace
    );
    assert_eq!(said, wanted);

    let right = json!({"apiGroups": ["sagas.dev"], "resources": ["sagaruns/interventions"], "verbs": ["update"]});
    for user in ["alice", "bob"] {
        world.grant(user, right.clone()).await;
    }
    allowed(&bob, &order, &decisions(&[decision("1", "bob")]), Try::Really).await;
    let said = denied(&bob, &order, &decisions(&[decision("1", "bob"), decision("2", "alice")])).await;
    assert_eq!(said, "`requestedBy` of what is added to `spec.interventions` must be bob, who sends it");
    // What others said before stays theirs.
    allowed(&alice, &order, &decisions(&[decision("1", "bob"), decision("2", "alice")]), Try::Really).await;
    world.close().await;
}

/// A definition whose call has a header out of a Secret.
fn with_secret(call: &str, secret: &str) -> Value {
    let mut object = definition("charge");
    let http = json!({"url": "http://stock.shop.svc/x", "headers": [
        {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}}]});
    object["spec"]["steps"][0][call] = json!({"http": http});
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_read_a_secret_names_it_in_a_definition() {
    let world = Installed::new("policy-secrets", Helm::three(), json!({})).await;
    let (definitions, charge) = (world.path("sagadefinitions"), world.path("sagadefinitions/charge"));
    let dora = world.user("dora").await;
    world.grant("dora", edit()).await;
    allowed(&dora, &definitions, &definition("plain"), Try::Only).await;
    let must = |secret: &str| {
        let namespace = &world.namespace;
        format!(
            "user dora must be allowed to get the Secret {secret} to name it in a definition: ask for a Role in the \
             namespace {namespace}"
        )
    };
    for call in ["action", "compensation", "confirm"] {
        assert_eq!(denied(&dora, &definitions, &with_secret(call, "payment-api")).await, must("payment-api"), "{call}");
    }
    // Another URL would send the Secret elsewhere; what is no part of the spec is nobody's business.
    send(&world.admin, &definitions, &with_secret("action", "payment-api"), Try::Really).await.expect("created");
    let mut elsewhere = with_secret("action", "payment-api")["spec"].clone();
    elsewhere["steps"][0]["action"]["http"]["url"] = json!("http://elsewhere.shop.svc/x");
    assert_eq!(denied(&dora, &charge, &json!({"spec": elsewhere})).await, must("payment-api"));
    allowed(&dora, &charge, &json!({"metadata": {"labels": {"team": "shop"}}}), Try::Only).await;

    let get =
        |names: Value| json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"]});
    world.grant("dora", get(json!(["payment-api"]))).await;
    allowed(&dora, &charge, &json!({"spec": elsewhere}), Try::Only).await;
    assert_eq!(denied(&dora, &definitions, &with_secret("confirm", "other")).await, must("other"));

    let mut many = definition("many");
    let names: Vec<_> = (1..=9).map(|number| format!("secret-{number}")).collect();
    many["spec"]["steps"][0]["action"]["http"]["headers"] = names
        .iter()
        .map(|name| json!({"name": format!("X-{name}"), "valueFrom": {"secretKeyRef": {"name": name, "key": "token"}}}))
        .collect();
    world.grant("dora", get(json!(names[..8]))).await;
    assert_eq!(denied(&dora, &definitions, &many).await, "`spec.steps` must not name more than 8 different Secrets");
    let mut eight = many.clone();
    eight["spec"]["steps"][0]["action"]["http"]["headers"].as_array_mut().expect("headers").pop();
    allowed(&dora, &definitions, &eight, Try::Only).await;
    // The eighth counts like the first.
    let headers = eight["spec"]["steps"][0]["action"]["http"]["headers"].as_array_mut().expect("headers");
    headers[7]["valueFrom"]["secretKeyRef"]["name"] = json!("secret-9");
    assert_eq!(denied(&dora, &definitions, &eight).await, must("secret-9"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_operator_takes_our_finalizers_off_what_is_not_finished() {
    let world = Installed::new("policy-finalizers", Helm::three(), json!({})).await;
    let order = world.path("sagaruns/order");
    let frank = world.user("frank").await;
    world.grant("frank", edit()).await;
    let revisions = json!({"apiGroups": ["apps"], "resources": ["controllerrevisions"], "verbs": ["get", "patch"]});
    world.grant("frank", revisions).await;

    let with = |mut object: Value, finalizers: &[&str]| {
        object["metadata"]["finalizers"] = json!(finalizers);
        object
    };
    let both = ["example.com/theirs", "sagas.dev/compensate"];
    send(&world.admin, &world.path("sagaruns"), &with(run("order"), &both), Try::Really).await.expect("created");
    let none = json!({"metadata": {"finalizers": null}});
    let only_ours = json!({"metadata": {"finalizers": ["sagas.dev/compensate"]}});
    let said = denied(&frank, &order, &none).await;
    let wanted = "the finalizer 'sagas.dev/compensate' of an unfinished run must not be removed, or nobody undoes what it \
                  did: delete the run and let the operator finish it, or set `spec.deletionPolicy` to 'Abandon'";
    assert_eq!(said, wanted);
    allowed(&frank, &order, &only_ours, Try::Only).await;
    allowed(&world.user(&world.operator()).await, &order, &none, Try::Only).await;

    let definition = with(definition("charge"), &["sagas.dev/in-use"]);
    send(&world.admin, &world.path("sagadefinitions"), &definition, Try::Really).await.expect("created");
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "data": {},
        "metadata": {"name": "charge-1", "finalizers": ["sagas.dev/in-use"]},
    });
    let revisions = format!("/apis/apps/v1/namespaces/{}/controllerrevisions", world.namespace);
    send(&world.admin, &revisions, &revision, Try::Really).await.expect("created");
    let wanted = "the finalizer 'sagas.dev/in-use' must not be removed: the operator does when the last run that follows \
                  this definition is finished; cancel the runs to hasten it";
    for path in [world.path("sagadefinitions/charge"), format!("{revisions}/charge-1")] {
        assert_eq!(denied(&frank, &path, &none).await, wanted, "{path}");
    }

    let condition = json!({
        "type": "Completed", "status": "True", "reason": "Succeeded", "message": "all steps succeeded",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
    });
    let completed = json!({"status": {"observedGeneration": 1, "conditions": [condition]}});
    send(&world.admin, &format!("{order}/status"), &completed, Try::Really).await.expect("written");
    allowed(&frank, &order, &none, Try::Really).await;

    // The way around, for emergencies.
    let right = json!({"apiGroups": ["sagas.dev"], "resources": ["sagaruns/finalizer"], "verbs": ["delete"]});
    world.grant("frank", right).await;
    for path in [world.path("sagadefinitions/charge"), format!("{revisions}/charge-1")] {
        allowed(&frank, &path, &none, Try::Really).await;
    }
    world.close().await;
}

/// Whether the API server has policies that change what is created.
async fn mutates(client: &Client) -> bool {
    let request = Request::get("/apis/admissionregistration.k8s.io/v1").body(Vec::new()).expect("a request");
    let found: Value = client.request(request).await.expect("a list");
    found["resources"].as_array().into_iter().flatten().any(|one| one["name"] == "mutatingadmissionpolicies")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_run_is_retained_at_creation_where_the_api_server_can_do_that() {
    let world = Installed::new("policy-retain", Helm::four(), json!({})).await;
    let runs = world.path("sagaruns");
    let manifest = world.helm(&["get", "manifest", RELEASE]);
    if !mutates(&world.admin).await {
        assert!(!manifest.contains("kind: MutatingAdmissionPolicy"), "{manifest}");
        world.close().await;
        return;
    }
    let gina = world.user("gina").await;
    world.grant("gina", edit()).await;
    let mut object = run("order");
    object["metadata"]["finalizers"] = json!(["example.com/theirs"]);
    object["metadata"]["labels"] = json!({"team": "shop"});
    until("the policy puts the finalizer on", || async {
        let made = allowed(&gina, &runs, &object, Try::Only).await;
        made["metadata"]["finalizers"] == json!(["example.com/theirs", "sagas.dev/compensate"])
            && made["metadata"]["labels"] == json!({"team": "shop", "sagas.dev/definition": "order"})
    })
    .await;
    for wrong in [json!(5), json!("Not A Name")] {
        object["spec"]["definitionRef"]["name"] = wrong.clone();
        let said = send(&gina, &runs, &object, Try::Only).await.expect_err("refused");
        assert!(said.contains("spec.definitionRef.name") && !said.contains("label"), "{wrong}: {said}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_has_its_rights_in_its_namespace_and_none_to_secrets_until_somebody_binds_them() {
    let world = Installed::new("policy-rights", Helm::three(), json!({})).await;
    let (operator, here) = (world.operator(), world.namespace.clone());
    let rights = [
        "list sagas.dev/sagadefinitions",
        "watch sagas.dev/sagaruns",
        "patch sagas.dev/sagaruns",
        "update sagas.dev/sagaruns/status",
        "delete sagas.dev/sagaruns",
        "create apps/controllerrevisions",
        "patch events.k8s.io/events",
        "create coordination.k8s.io/leases",
        "update coordination.k8s.io/leases:saga-operator",
    ];
    for right in rights {
        assert!(world.may(&operator, &here, right).await, "{right}");
        assert!(!world.may(&operator, "default", right).await, "{right} elsewhere");
    }
    assert!(world.may(&operator, "", "get apiextensions.k8s.io/customresourcedefinitions:sagaruns.sagas.dev").await);
    for nothing in [
        "get /secrets",
        "list /secrets",
        "create sagas.dev/sagaruns",
        "update sagas.dev/sagaruns",
        "update sagas.dev/sagaruns/interventions",
        "create /pods",
        "update rbac.authorization.k8s.io/roles",
        "impersonate /users",
    ] {
        assert!(!world.may(&operator, &here, nothing).await, "{nothing}");
    }
    world.bind(&operator, "ClusterRole", &format!("{here}-saga-operator-secret-reader")).await;
    until("the owner's binding counts", || world.may(&operator, &here, "get /secrets:payment-api")).await;
    assert!(!world.may(&operator, &here, "list /secrets").await);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_view_define_run_and_intervene_by_the_roles_that_they_have_anyway() {
    let world = Installed::new("policy-roles", Helm::three(), json!({"userRoles": {"create": true}})).await;
    let here = world.namespace.clone();
    for (user, role) in [
        ("vi", "view"),
        ("ed", "edit"),
        ("ad", "admin"),
        ("de", "saga-define"),
        ("ru", "saga-run"),
        ("in", "saga-intervene"),
    ] {
        world.bind(user, "ClusterRole", role).await;
    }
    let intervene = "update sagas.dev/sagaruns/interventions";
    let table = [
        ("get sagas.dev/sagaruns", "vi ed ad ru in"),
        ("list sagas.dev/sagadefinitions", "vi ed ad de ru"),
        ("create sagas.dev/sagadefinitions", "ed ad de"),
        ("create sagas.dev/sagaruns", "ed ad ru"),
        ("patch sagas.dev/sagaruns", "ed ad ru in"),
        (intervene, "ad in"),
        ("update sagas.dev/sagaruns/status", ""),
        ("delete sagas.dev/sagaruns/finalizer", ""),
    ];
    // The last of them to be added up.
    until("the roles are added to those of the cluster", || world.may("ad", &here, intervene)).await;
    until("the roles are added to those of the cluster", || world.may("ed", &here, "create sagas.dev/sagaruns")).await;
    until("the roles are added to those of the cluster", || world.may("vi", &here, "get sagas.dev/sagaruns")).await;
    for (what, users) in table {
        for user in ["vi", "ed", "ad", "de", "ru", "in"] {
            assert_eq!(world.may(user, &here, what).await, users.split(' ').any(|one| one == user), "{user}: {what}");
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_is_accepted_where_only_restricted_pods_are() {
    let world = Installed::new("policy-pods", Helm::three(), json!({"demo": {"enabled": true}})).await;
    let restricted = json!({"metadata": {"labels": {
        "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}}});
    let namespace = format!("/api/v1/namespaces/{}", world.namespace);
    send(&world.admin, &namespace, &restricted, Try::Really).await.expect("labelled");
    let hooks = world.helm(&["get", "hooks", RELEASE]);
    let all = [objects(&world.helm(&["get", "manifest", RELEASE])), objects(&hooks)].concat();
    let mut seen = Vec::new();
    for object in all {
        let spec = match object["kind"].as_str() {
            Some("Pod") => &object["spec"],
            Some("Deployment") => &object["spec"]["template"]["spec"],
            _ => continue,
        };
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"}, "spec": spec});
        // The account `default` comes with the namespace, some time after it.
        let made = allowed(&world.admin, &format!("{namespace}/pods"), &pod, Try::Only).await;
        assert_eq!(made["spec"]["automountServiceAccountToken"], false, "{}", name(&object));
        seen.push(name(&object));
    }
    assert_eq!(seen, ["Deployment saga-operator-participants", "Deployment saga-operator", "Pod saga-operator-test"]);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"}, "spec": {
        "containers": [{"name": "careless", "image": "x:1"}]}});
    let said = send(&world.admin, &format!("{namespace}/pods"), &pod, Try::Only).await.expect_err("refused");
    assert!(said.contains("violates PodSecurity"), "{said}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_knows_every_field_of_every_object() {
    let admin = cluster::admin().await;
    cluster::install_crds(&admin).await;
    let namespace = cluster::namespace(&admin, "chart-fields").await;
    let helm = Helm::four();
    let mut more = vec!["--kube-version", "1.36.0", "--namespace", &namespace, "--api-versions", SERVED[0]];
    if mutates(&admin).await {
        more.extend(["--api-versions", SERVED[1]]);
    }
    let everything = at(all(true), "leaderElection.resourceNamespace", json!(namespace));
    let everything = at(everything, "watchNamespaces", json!([namespace]));
    for values in [json!({"demo": {"enabled": true}}), everything] {
        let rendered = objects(&helm.text(CHART, &values, &more).expect("rendered"));
        assert!(rendered.len() > 20, "{}", rendered.len());
        for object in rendered {
            let path = path(&object);
            let request =
                Request::patch(format!("{path}?fieldManager=tests&force=true&dryRun=All&fieldValidation=Strict"))
                    .header("Content-Type", "application/apply-patch+yaml")
                    .body(object.to_string().into_bytes());
            let answer = admin.request::<Value>(request.expect("a request")).await;
            assert!(answer.is_ok(), "{}: {}", name(&object), answer.unwrap_err());
        }
    }
    cluster::leave_namespace(&admin, &namespace).await;
}

/// Where the API server has an object. The plurals of all our kinds are regular.
fn path(object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("/apiVersion"), text("/kind").to_lowercase());
    let api = if version.contains('/') { "apis" } else { "api" };
    let plural = kind.strip_suffix('y').map_or_else(|| format!("{kind}s"), |stem| format!("{stem}ies"));
    let namespace = match text("/metadata/namespace") {
        "" => String::new(),
        namespace => format!("namespaces/{namespace}/"),
    };
    format!("/{api}/{version}/{namespace}{plural}/{}", text("/metadata/name"))
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstalling_leaves_nothing_but_the_kinds_and_their_objects() {
    for helm in [Helm::three(), Helm::four()] {
        let world = Installed::new("chart-uninstall", helm, json!({"demo": {"enabled": true}})).await;
        let manifest = objects(&world.helm(&["get", "manifest", RELEASE]));
        let get = async |object: &Value| {
            let request = Request::get(path(object)).body(Vec::new()).expect("a request");
            world.admin.request::<Value>(request).await
        };
        for object in &manifest {
            assert!(get(object).await.is_ok(), "{} is missing", name(object));
        }
        assert!(manifest.len() > 20, "{}", manifest.len());
        world.helm(&["uninstall", RELEASE]);
        let (ours, kept): (Vec<_>, Vec<_>) =
            manifest.iter().partition(|object| object["apiVersion"] != "sagas.dev/v1alpha1");
        // Its finalizer would wait for the operator that is gone.
        assert_eq!(kept.iter().map(|object| name(object)).collect::<Vec<_>>(), ["SagaDefinition saga-operator-demo"]);
        assert!(get(kept[0]).await.is_ok_and(|object| object["metadata"]["deletionTimestamp"].is_null()));
        for object in ours {
            let gone = get(object).await.err().and_then(|error| match error {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            });
            assert_eq!(gone, Some(404), "{} is left", name(object));
        }
        for kind in ["sagadefinitions", "sagaruns"] {
            let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{kind}.sagas.dev")}});
            assert!(get(&crd).await.is_ok(), "{kind}");
        }
        cluster::leave_namespace(&world.admin, &world.namespace).await;
    }
}

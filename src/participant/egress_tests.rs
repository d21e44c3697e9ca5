//! Destinations: what is allowed, and a corpus of what must never be reached.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::harness::{Caller, answering, not_sent, ok, response, serve};
use super::resolve::Lookup;
use super::{Clock, DestinationRule, HttpOptions, HttpParticipant, Loopback, Policy, StaticCredentials};
use crate::api::Reason;

fn rules(rules: &[&str]) -> Vec<DestinationRule> {
    rules.iter().map(|rule| rule.parse().unwrap()).collect()
}

fn cluster(allowed: &[&str]) -> Policy {
    let api_server = ["10.96.0.1", "192.168.7.7"].map(|address| address.parse::<IpAddr>().unwrap());
    Policy::cluster(rules(allowed), "cluster.local", api_server, Loopback::Refused)
}

/// PORT stands for the canary's port. Every one of these is refused by a policy whose rules name as much as they can.
const CORPUS: &str = "
# loopback, as it is and in numbers
http://127.0.0.1:PORT/ http://127.0.0.2:PORT/ http://127.255.255.254:PORT/ http://2130706433:PORT/
http://0x7f000001:PORT/ http://0X7F.0.0.1:PORT/ http://0x7f.1:PORT/ http://017700000001:PORT/
http://0177.0.0.1:PORT/ http://0177.0.0.01:PORT/ http://127.1:PORT/ http://127.0.1:PORT/ http://127.0.0.1.:PORT/
http://127.0.0.01:PORT/ http://00000127.0.0.1:PORT/ http://127.0.0.0x1:PORT/ http://0x7f.0x0.0x0.0x1:PORT/
http://4294967297:PORT/ http://127.0.0.1.1:PORT/ http://127.0.0.256:PORT/ http://0:PORT/ http://0x:PORT/
http://1:PORT/ http://0x0:PORT/ http://0.0.0.0:PORT/ http://0.1.2.3:PORT/ http://127.:PORT/
# IPv6 loopback and unspecified
http://[::1]:PORT/ http://[0:0:0:0:0:0:0:1]:PORT/ http://[0000::0001]:PORT/ http://[::]:PORT/ http://[0::0]:PORT/
# mapped, compatible, translated
http://[::ffff:127.0.0.1]:PORT/ http://[::ffff:7f00:1]:PORT/ http://[0:0:0:0:0:ffff:7f00:1]:PORT/
http://[::FFFF:127.0.0.2]:PORT/ http://[::127.0.0.1]:PORT/ http://[::7f00:1]:PORT/ http://[::ffff:0:127.0.0.1]:PORT/
http://[::ffff:a9fe:a9fe]:PORT/ http://[::ffff:169.254.169.254]:PORT/ http://[::169.254.169.254]:PORT/
http://[::ffff:0.0.0.0]:PORT/ http://[::ffff:10.96.0.1]:PORT/ http://[::ffff:192.168.7.7]:PORT/ http://[::10.96.0.1]:PORT/
http://[::ffff:224.0.0.1]:PORT/ http://[::ffff:255.255.255.255]:PORT/
# NAT64, both prefixes
http://[64:ff9b::127.0.0.1]:PORT/ http://[64:ff9b::7f00:1]:PORT/ http://[64:ff9b::a9fe:a9fe]:PORT/
http://[64:ff9b::10.96.0.1]:PORT/ http://[64:ff9b:1:7f00:0:100::]:PORT/ http://[64:ff9b:1::7f00:1]:PORT/
http://[64:ff9b:1:a9fe:a9:fe00::]:PORT/ http://[64:ff9b:1:ffff:7f:0:100:0]:PORT/
# 6to4, Teredo, ISATAP
http://[2002:7f00:1::]:PORT/ http://[2002:7f00:1::1]:PORT/ http://[2002:a9fe:a9fe::]:PORT/ http://[2002:a60:1::]:PORT/
http://[2001:0:7f00:1::]:PORT/ http://[2001::4136:e378:8000:63bf:80ff:fffe]:PORT/ http://[2001:0:a9fe:a9fe::1]:PORT/
http://[2001:0:1234:5678:0:0:5601:5601]:PORT/ http://[2001:db8::5efe:127.0.0.1]:PORT/
http://[2001:db8::200:5efe:169.254.169.254]:PORT/ http://[fe80::5efe:7f00:1]:PORT/
# link-local, site-local, multicast, broadcast
http://169.254.0.1:PORT/ http://169.254.169.254:PORT/ http://169.254.170.2:PORT/ http://169.254.170.23:PORT/
http://[fe80::1]:PORT/ http://[febf::1]:PORT/ http://[fec0::1]:PORT/ http://224.0.0.1:PORT/ http://239.255.255.250:PORT/
http://[ff02::1]:PORT/ http://[ff0e::1]:PORT/ http://255.255.255.255:PORT/
# cloud metadata in numbers
http://2852039166:PORT/ http://0xa9fea9fe:PORT/ http://0251.0376.0251.0376:PORT/ http://0xA9.0xFE.0xA9.0xFE:PORT/
http://169.254.43518:PORT/ http://169.16689662:PORT/ http://100.100.100.200:PORT/ http://192.0.0.192:PORT/
http://168.63.129.16:PORT/ http://[fd00:ec2::254]:PORT/ http://[fd00:ec2::23]:PORT/ http://[fd20:ce::254]:PORT/
# API server
http://10.96.0.1:PORT/ https://10.96.0.1/ http://192.168.7.7:6443/ https://kubernetes.default.svc/
https://kubernetes.default/ https://kubernetes.default.svc.cluster.local/ https://kubernetes.default.svc.cluster.local./
https://KUBERNETES.DEFAULT.SVC:443/ https://kubernetes.default.svc./
# names of loopback and metadata
http://localhost:PORT/ http://LOCALHOST:PORT/ http://localhost.:PORT/ http://a.localhost:PORT/ http://localhost.localdomain:PORT/
http://ip6-localhost:PORT/ http://ip6-loopback:PORT/ http://localhost6:PORT/ http://metadata.google.internal/
http://metadata.google.internal./computeMetadata/v1/ http://METADATA.goog/ http://instance-data.ec2.internal/
# names that resolve to something bad
http://rebind.test:PORT/ http://mixed.test:PORT/ http://mapped.test:PORT/ http://apiserver.test:PORT/ http://many.test:PORT/
http://meta.test:PORT/ http://nat64.test:PORT/ http://zero.test:PORT/
# Unicode, percent
http://\u{ff11}\u{ff12}\u{ff17}.0.0.1:PORT/ http://127\u{3002}0\u{3002}0\u{3002}1:PORT/ http://127\u{ff0e}0\u{ff0e}0\u{ff0e}1:PORT/
http://\u{24db}ocalhost:PORT/ http://loc\u{430}lhost:PORT/ http://127.0.0.1%2f:PORT/ http://%31%32%37.0.0.1:PORT/
http://%6c%6f%63%61%6c%68%6f%73%74:PORT/ http://[::1%25lo]:PORT/ http://[fe80::1%25eth0]:PORT/ http://[fe80::1%eth0]:PORT/
http://[::ffff:0177.0.0.1]:PORT/ http://127.0.0.1%00.test:PORT/
# confusion
http://anything.test@127.0.0.1:PORT/ http://a:b@127.0.0.1:PORT/ http://anything.test:80@127.0.0.1:PORT/ http://@127.0.0.1:PORT/
http://127.0.0.1:PORT\\@anything.test/ http:\\\\127.0.0.1:PORT/ http:/\\127.0.0.1:PORT/ http:/127.0.0.1:PORT/ http:127.0.0.1:PORT
//127.0.0.1:PORT/ 127.0.0.1:PORT http:///127.0.0.1:PORT/ http://:PORT/ http:// http://[]:PORT/ http://[::1:PORT/ http://::1:PORT/
http://[::1]PORT/ http://[::1].test:PORT/ http://127.0.0.1:PORT:80/ http://127.0.0.1:/ http://.127.0.0.1:PORT/ http://127..0.0.1:PORT/
# schemes
ftp://127.0.0.1:PORT/ file:///etc/passwd gopher://127.0.0.1:PORT/_x HTTPX://127.0.0.1:PORT/ javascript:alert(1) ws://127.0.0.1:PORT/
unix:///run/x.sock data:text/plain,x dict://127.0.0.1:PORT/
# ports
http://anything.test:0/ http://anything.test:65536/ http://anything.test:99999/ http://anything.test:-1/ http://anything.test:+80/
http://anything.test:0x50/ http://own:22/ http://own:6443/ http://own:10250/ http://own:2379/ http://own:2380/ http://own:10255/
# not allowed: other namespaces, the world, near misses of rules
http://pay.other:80/ http://pay.other.svc/ http://pay.other.svc.cluster.local/ http://pay.shop.svc.cluster.local.evil.example/
http://pay.shop.cluster.local/ http://a.b.shop.svc/ http://example.com/ http://10.0.0.1/ http://8.8.8.8/ http://[2606:4700::1111]/
http://.test/ http://xanything.testing/ http://one.example:6443/ https://one.example:10250/
http://two.one.example/ http://shop.svc/ http://svc.cluster.local/
";

/// As wide as rules can be, so that nothing is refused only for want of a rule that could be written.
const WIDE: [&str; 24] = [
    "*.test:*",
    "one.example",
    "localhost:*",
    "*.localhost:*",
    "localhost.localdomain:*",
    "127.0.0.1:*",
    "[::1]:*",
    "[::]:*",
    "0.0.0.0:*",
    "169.254.169.254:*",
    "[::ffff:127.0.0.1]:*",
    "[::ffff:169.254.169.254]:*",
    "[64:ff9b::7f00:1]:*",
    "[2002:7f00:1::]:*",
    "[fe80::1]:*",
    "[fd00:ec2::254]:*",
    "10.96.0.1:*",
    "192.168.7.7:*",
    "kubernetes.default.svc:*",
    "kubernetes.default:*",
    "metadata.google.internal:*",
    "*.internal:*",
    "ip6-localhost:*",
    "100.100.100.200:*",
];

struct Names;

impl Lookup for Names {
    fn lookup<'a>(&'a self, name: &'a str) -> futures::future::BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        let addresses: Vec<String> = match name {
            "rebind.test." => vec!["127.0.0.1".into()],
            "mixed.test." => vec!["192.0.2.1".into(), "127.0.0.1".into()],
            "mapped.test." => vec!["::ffff:127.0.0.1".into()],
            "apiserver.test." => vec!["10.96.0.1".into()],
            "many.test." => {
                (1..=1000).map(|n| if n == 1 { "127.0.0.1".into() } else { format!("192.0.2.{}", n % 250) }).collect()
            }
            "meta.test." => vec!["169.254.169.254".into()],
            "nat64.test." => vec!["64:ff9b::7f00:1".into()],
            "zero.test." => vec!["0.0.0.0".into()],
            _ => panic!("{name} should not have been looked up"),
        };
        let addresses = addresses.into_iter().map(|address| address.parse().unwrap()).collect();
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

#[tokio::test]
async fn nothing_of_the_corpus_reaches_anyone() {
    let (canary, seen) = serve(|mut peer| async move {
        peer.request().await;
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let participant = HttpParticipant::new(
        Arc::new(cluster(&WIDE)),
        Arc::new(StaticCredentials::default()),
        Clock::start(),
        HttpOptions::default(),
    )
    .unwrap()
    .with_lookup(Arc::new(Names));
    let caller = Caller::around(participant);
    let vectors: Vec<_> =
        CORPUS.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    assert!(vectors.len() >= 120, "{}", vectors.len());
    for vector in &vectors {
        let url = vector.replace("PORT", &canary.port().to_string());
        let mut intent = caller.intent(&url);
        intent.timeout = Duration::from_secs(5);
        let (reason, message) = not_sent(caller.send(intent).await);
        assert_eq!(reason, Reason::DestinationNotAllowed, "{url}: {message}");
    }
    assert_eq!(seen.connections(), 0);
    // The canary does sing.
    assert_eq!(response(Caller::new().call(&format!("http://{canary}/")).await).status, 200);
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn a_service_with_one_bad_address_is_refused() {
    struct Table(Vec<IpAddr>);
    impl Lookup for Table {
        fn lookup<'a>(&'a self, name: &'a str) -> futures::future::BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
            assert_eq!(name, "pay.shop.svc.cluster.local.");
            Box::pin(std::future::ready(Ok(self.0.clone())))
        }
    }
    let (canary, seen) = answering(ok("{}")).await;
    for bad in ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0", "10.96.0.1"] {
        let answers = vec!["192.0.2.1".parse().unwrap(), bad.parse().unwrap()];
        let credentials = Arc::new(StaticCredentials::default());
        let participant =
            HttpParticipant::new(Arc::new(cluster(&[])), credentials, Clock::start(), HttpOptions::default());
        let caller = Caller::around(participant.unwrap().with_lookup(Arc::new(Table(answers))));
        let (reason, message) = not_sent(caller.call(&format!("http://pay:{}/", canary.port())).await);
        assert_eq!(reason, Reason::DestinationNotAllowed, "{bad}: {message}");
        assert!(message.contains("pay:"), "{message}");
    }
    assert_eq!(seen.connections(), 0);
}

#[tokio::test]
async fn insecure_loopback_lifts_loopback_only_and_needs_no_rule() {
    let (server, seen) = serve(|mut peer| async move {
        peer.request().await;
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    })
    .await;
    let lifted = |allowed: &[&str]| Policy::cluster(rules(allowed), "cluster.local", [], Loopback::Allowed);
    let call = async |policy: Policy, host: &str| {
        let caller = Caller::under(policy, StaticCredentials::default(), HttpOptions::default());
        caller.call(&format!("http://{host}:{}/", server.port())).await
    };
    assert_eq!(response(call(lifted(&[]), "127.0.0.1").await).status, 200);
    assert_eq!(response(call(lifted(&[]), "localhost").await).status, 200);
    let strict = Policy::cluster(rules(&["127.0.0.1:*"]), "cluster.local", [], Loopback::Refused);
    assert_eq!(not_sent(call(strict, "127.0.0.1").await).0, Reason::DestinationNotAllowed);
    for host in ["0.0.0.0", "169.254.169.254", "[fe80::1]", "[::ffff:169.254.1.1]"] {
        let policy = lifted(&[&format!("{host}:*")]);
        assert_eq!(not_sent(call(policy, host).await).0, Reason::DestinationNotAllowed, "{host}");
    }
    assert_eq!(seen.connections(), 2);
}

#[test]
fn services_of_the_own_namespace_need_no_rule() {
    let policy = cluster(&[]);
    for (url, lookup) in [
        ("http://pay/", "pay.shop.svc.cluster.local."),
        ("http://PAY:8080/x?y", "pay.shop.svc.cluster.local."),
        ("http://pay.", "pay.shop.svc.cluster.local."),
        ("http://pay.shop", "pay.shop.svc.cluster.local."),
        ("https://pay.shop.svc", "pay.shop.svc.cluster.local."),
        ("http://pay.shop.svc.", "pay.shop.svc.cluster.local."),
        ("http://pay.shop.svc.cluster.local", "pay.shop.svc.cluster.local."),
        ("http://pay.shop.svc.cluster.local.:81/", "pay.shop.svc.cluster.local."),
        ("http://metadata/", "metadata.shop.svc.cluster.local."),
    ] {
        let target = policy.target("shop", url).unwrap();
        assert_eq!(target.origin.lookup, super::egress::Place::Name(lookup.to_owned()), "{url}");
    }
    let origin = |namespace| policy.target(namespace, "http://pay/").unwrap().origin;
    assert_ne!(origin("shop"), origin("other"), "one name, two Services: never one connection");
    assert!(policy.check_url("default", "https://kubernetes/").is_err());
    assert!(policy.check_url("other", "http://pay.shop/").is_err());
}

#[test]
fn rules_allow_what_they_say() {
    let policy = cluster(&[
        "api.example.com",
        "*.partner.example:8443",
        "ledger.finance.svc:80@shop,checkout",
        "10.1.2.3:*",
        "[fd00::1]:8080",
        "own:6443",
        "own.shop.svc:22",
    ]);
    for (namespace, url, allowed) in [
        ("shop", "https://api.example.com/", true),
        ("shop", "http://api.example.com/", true),
        ("shop", "https://API.example.com./", true),
        ("shop", "https://api.example.com:8443/", true),
        ("shop", "https://api.example.com:6443/", false),
        ("shop", "http://api.example.com:10250/", false),
        ("shop", "https://x.api.example.com/", false),
        ("shop", "https://a.partner.example:8443/", true),
        ("shop", "https://a.b.partner.example:8443/", true),
        ("shop", "https://partner.example:8443/", false),
        ("shop", "https://apartner.example:8443/", false),
        ("shop", "https://a.partner.example/", false),
        ("shop", "http://ledger.finance.svc/", true),
        ("shop", "http://ledger.finance.svc.cluster.local/", true),
        ("checkout", "http://ledger.finance.svc/", true),
        ("other", "http://ledger.finance.svc/", false),
        ("shop", "http://ledger.finance/", false),
        ("shop", "http://10.1.2.3:9/", true),
        ("shop", "http://[fd00::1]:8080/", true),
        ("shop", "http://[fd00:0::0:1]:8080/", true),
        ("shop", "http://[fd00::1]/", false),
        ("shop", "http://own:22/", true),
        ("other", "http://own:22/", false),
    ] {
        let found = policy.check_url(namespace, url);
        assert_eq!(found.is_ok(), allowed, "{namespace} {url}: {found:?}");
        if let Err(error) = found {
            assert!(error.to_string().contains("--allow-destination"), "{error}");
        }
    }
}

#[test]
fn rules_are_read_or_refused_with_a_reason() {
    for rule in
        ["a.example", "a.example:1", "a.example:*", "*.example:65535", "1.2.3.4", "[::2]", "[::2]:80@ns", "a@b,c-d"]
    {
        assert_eq!(rule.parse::<DestinationRule>().unwrap().to_string(), rule);
    }
    for (rule, why) in [
        ("", "missing"),
        (":80", "missing"),
        ("*", "first label"),
        ("a.*.example", "first label"),
        ("*example.com", "first label"),
        ("*.1.2.3.4", "before a name"),
        ("http://a.example", "scheme"),
        ("a.example/path", "path"),
        ("10.0.0.0/8", "range"),
        ("a.example:0", "port"),
        ("a.example:65536", "port"),
        ("a.example:", "port"),
        ("a.example:+1", "port"),
        ("::1", "host"),
        ("fd00::1:80", "brackets"),
        ("[::1", "]"),
        ("[::1]x", "PORT"),
        ("0177.0.0.1", "decimal"),
        ("127.1", "decimal"),
        ("a b", "host name"),
        ("a..b", "host name"),
        ("-a", "host name"),
        ("caf\u{e9}.example", "host name"),
        ("a@", "namespace"),
        ("a@b,", "namespace"),
        ("a@B", "namespace"),
        ("a@b@c", "namespace"),
    ] {
        let error = rule.parse::<DestinationRule>().unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("expected HOST"), "{rule}: {error}");
    }
}

#[test]
fn on_ones_own_machine_only_metadata_is_refused() {
    let policy = Policy::local();
    for url in
        ["http://localhost:8080/", "http://127.0.0.1/", "http://[::1]:1/", "http://10.0.0.1/", "https://example.com"]
    {
        policy.check_url("local", url).unwrap();
    }
    for url in
        ["http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://[::ffff:169.254.169.254]/", "http://2130706433/"]
    {
        policy.check_url("local", url).unwrap_err();
    }
}

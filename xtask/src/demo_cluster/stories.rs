//! The stories of the demo, told with the manifests of `examples/checkout`.

mod orders;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::actors::Ledger;
use super::{DemoError, NAMESPACE, PATIENCE, Proof, Stage};
use crate::paths;
use crate::signals;

/// Where the examples expect the participants.
const EXAMPLES_CALL: &str = "http://127.0.0.1:8080";
const LOOK: Duration = Duration::from_millis(100);

/// All of them.
pub(crate) fn tell(stage: &mut Stage, proof: &mut Proof) -> Result<(), DemoError> {
    let definition = stage.example("definition.yaml")?.replace(EXAMPLES_CALL, &stage.participants.base_url());
    let watch = stage.kubectl.watch()?;
    stage.kubectl.apply(&definition, "examples/checkout/definition.yaml")?;
    stage.kubectl.run(&[
        "wait",
        "--for=condition=Ready",
        "sagadefinition/checkout",
        "-n",
        NAMESPACE,
        "--timeout=60s",
    ])?;
    success(stage, proof)?;
    undeliverable(stage, proof)?;
    down(stage, proof)?;
    crash(stage, proof)?;
    orders::tell(stage, proof)?;
    drop(watch);
    Ok(())
}

fn success(stage: &Stage, proof: &mut Proof) -> Result<(), DemoError> {
    title("1. A saga that succeeds", "Reserve, charge, ship: each stored before it is sent.");
    let (run, ledger) = stage.play("run.yaml", "order-1001", "order-1001")?;
    proof.claim("order-1001 Succeeded with one request a step", {
        reason(&run) == "Succeeded" && ledger.entries.len() == 3
    });
    proof.claim("order-1001 took effect at three participants, once each", ledger.standing() == (3, true));
    Ok(())
}

fn undeliverable(stage: &Stage, proof: &mut Proof) -> Result<(), DemoError> {
    title("2. A saga that fails at its last step", "There is no such address: charge and reservation are undone.");
    let (run, ledger) = stage.play("run-undeliverable.yaml", "order-1003", "order-1003")?;
    proof.claim("order-1003 was Rejected at shipParcel and ended Compensated", {
        let failure = &run["status"]["failure"];
        reason(&run) == "Compensated" && failure["reason"] == "Rejected" && failure["step"] == "shipParcel"
    });
    let undone = ledger.undone();
    proof.claim(
        "order-1003 was undone in reverse: chargeCard, then reserveStock",
        undone == ["chargeCard", "reserveStock"],
    );
    proof.claim("order-1003 left no effect", ledger.standing() == (0, true));
    Ok(())
}

fn down(stage: &Stage, proof: &mut Proof) -> Result<(), DemoError> {
    title("3. A participant that is down", "The payment answers 503 three times; it is asked again with the same key.");
    stage.participants.fault("payment", "down", 3, "forward")?;
    let (run, ledger) = stage.play("run.yaml", "order-1001", "order-1004")?;
    let charges = ledger.of_step("chargeCard");
    proof.claim("order-1004 Succeeded at the fourth attempt of the payment", {
        reason(&run) == "Succeeded" && charges.len() == 4
    });
    proof.claim("the four requests had one key and one body", same(&charges, "key") && same(&charges, "digest"));
    Ok(())
}

fn crash(stage: &mut Stage, proof: &mut Proof) -> Result<(), DemoError> {
    title("4. A crash", "The operator is killed (kill -9) after the payment took effect and before it heard of it.");
    stage.participants.fault("payment", "hang", 1, "forward")?;
    stage.submit("run.yaml", "order-1001", "order-1005")?;
    let uid = uid(&stage.kubectl.sagarun("order-1005")?);
    stage.until("the payment hangs", |stage| {
        let ledger = stage.participants.ledger(&uid)?;
        Ok(ledger.entries.iter().any(|entry| entry["fault"] == "hang").then_some(()))
    })?;
    if let Some(operator) = stage.operator.take() {
        println!("  kill -9 {}", operator.pid());
        operator.kill();
    }
    stage.start_operator()?;
    println!("It takes the run over when it is sure that the other is gone: 5 s and the call's timeout.");
    let run = stage.ended("order-1005")?;
    let ledger = stage.participants.ledger(&uid)?;
    let charges = ledger.of_step("chargeCard");
    let fences: Vec<_> = charges.iter().filter_map(|entry| entry["fence"].as_u64()).collect();
    proof
        .claim("the operator was killed; the next one finished order-1005 with Succeeded", reason(&run) == "Succeeded");
    proof.claim("the payment was sent again under the same key with a higher fence", {
        charges.len() == 2 && same(&charges, "key") && fences.is_sorted_by(|a, b| a < b)
    });
    proof.claim("order-1005 took effect at three participants, once each", ledger.standing() == (3, true));
    Ok(())
}

impl Stage {
    fn example(&self, name: &str) -> Result<String, DemoError> {
        let path = paths::workspace().join("examples/checkout").join(name);
        Ok(std::fs::read_to_string(path).map_err(super::ActorError::Io)?)
    }

    /// Applies a run of the examples under a name of its own.
    fn submit(&self, example: &str, named: &str, name: &str) -> Result<(), DemoError> {
        let manifest = self.example(example)?.replace(named, name);
        let shown =
            if named == name { format!("examples/checkout/{example}") } else { format!("- # {example} as {name}") };
        Ok(self.kubectl.apply(&manifest, &shown)?)
    }

    /// Applies a run, waits for its end, and returns it with what the participants saw.
    fn play(&self, example: &str, named: &str, name: &str) -> Result<(Value, Ledger), DemoError> {
        self.submit(example, named, name)?;
        let run = self.ended(name)?;
        let ledger = self.participants.ledger(&uid(&run))?;
        Ok((run, ledger))
    }

    /// Waits for the end of a run.
    fn ended(&self, name: &str) -> Result<Value, DemoError> {
        self.until(&format!("{name} ends"), |stage| {
            let run = stage.kubectl.sagarun(name)?;
            let conditions = run["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let completed = |condition: &Value| condition["type"] == "Completed" && condition["status"] == "True";
            let released = run["metadata"]["finalizers"].is_null();
            Ok((conditions.iter().any(completed) && released).then_some(run))
        })
    }

    fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Result<Option<T>, DemoError>) -> Result<T, DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if signals::interrupted() {
                return Err(DemoError::Interrupted);
            }
            if Instant::now() > deadline {
                return Err(DemoError::Late { what: what.to_owned() });
            }
            thread::sleep(LOOK);
        }
    }
}

fn title(name: &str, text: &str) {
    println!("\n{name}\n{text}");
}

/// How a run stands, in one word.
fn reason(run: &Value) -> &str {
    let conditions = run["status"]["conditions"].as_array().into_iter().flatten();
    let mut succeeded = conditions.filter(|condition| condition["type"] == "Succeeded");
    succeeded.next().and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
}

fn uid(run: &Value) -> String {
    run["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn same(entries: &[&Value], field: &str) -> bool {
    !entries.is_empty() && entries.iter().all(|entry| entry[field] == entries[0][field])
}

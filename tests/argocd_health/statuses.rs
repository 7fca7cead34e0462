//! Every status that there can be: all conditions of ours that can be there together, about this generation or an older one,
//! of objects that are new, edited, suspended or being deleted. What the stories see is among them: a story fails when it sees a
//! condition that is not (`tests/stories/invariants.rs`).

use databricks_operator::engine::crd::{ConditionStatus, ConditionType};
use serde_json::{Value, json};

use crate::layout::{kinds, reordered};
use crate::{Program, argo_cds};

/// What an object looks like to those who only read the common fields.
#[derive(Clone, Debug)]
struct Shape {
    generation: i64,
    /// Of the status as a whole; none where there is no status.
    observed: Option<i64>,
    /// Of the conditions.
    said_of: i64,
    conditions: Vec<(ConditionType, ConditionStatus)>,
    suspend: Option<bool>,
    deleting: bool,
}

impl Shape {
    fn is(&self, kind: ConditionType) -> bool {
        self.conditions.contains(&(kind, ConditionStatus::True))
    }

    fn current(&self) -> bool {
        self.observed == Some(self.generation)
    }

    fn object(&self, kind: &str) -> Value {
        let conditions = self.conditions.iter().map(|(kind, status)| {
            json!({"type": kind.name(), "status": status.name(), "reason": "Whatever",
                "message": format!("about {}", kind.name()), "observedGeneration": self.said_of,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        });
        let mut object = json!({
            "apiVersion": "databricks-operator.io/v1alpha1", "kind": kind,
            "metadata": {"name": "one", "namespace": "default", "generation": self.generation},
            "spec": {},
        });
        if let Some(observed) = self.observed {
            object["status"] = json!({"observedGeneration": observed});
        }
        if !self.conditions.is_empty() {
            object["status"]["conditions"] = conditions.collect();
        }
        if let Some(suspend) = self.suspend {
            object["spec"]["suspend"] = json!(suspend);
        }
        if self.deleting {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        object
    }

    /// What the person who looks at Argo CD has to read.
    fn argo_cd(&self) -> &'static str {
        if self.deleting {
            "Progressing"
        } else if self.suspend == Some(true) {
            "Suspended"
        } else if self.current() && self.is(ConditionType::Stalled) {
            "Degraded"
        } else if self.current() && self.is(ConditionType::Ready) {
            "Healthy"
        } else {
            "Progressing"
        }
    }

    /// What Flux has to conclude. It knows no suspension: such an object is not ready.
    fn kstatus(&self) -> &'static str {
        if self.deleting {
            "Terminating"
        } else if self.current() && self.is(ConditionType::Stalled) {
            "Failed"
        } else if self.current() && self.is(ConditionType::Ready) {
            "Current"
        } else {
            "InProgress"
        }
    }
}

/// The conditions that can be there together: Ready, Synced and ReferencesResolved are always, the others only while true, and
/// Ready, Reconciling and Stalled exclude each other (ST-03, ST-05). Only Synced may be Unknown.
fn conditions() -> Vec<Vec<(ConditionType, ConditionStatus)>> {
    use ConditionType::*;
    let bits = |number: usize, at: usize| number >> at & 1 == 1;
    let mut all = vec![];
    for (number, unknown) in (0..1 << 7).flat_map(|number| [(number, false), (number, true)]) {
        let [ready, reconciling, stalled] = [0, 1, 2].map(|at| bits(number, at));
        if usize::from(ready) + usize::from(reconciling) + usize::from(stalled) > 1 {
            continue;
        }
        let synced = if unknown { ConditionStatus::Unknown } else { bits(number, 3).into() };
        let mut conditions =
            vec![(Ready, ready.into()), (Synced, synced), (ReferencesResolved, bits(number, 4).into())];
        let others = [
            (Reconciling, reconciling),
            (Stalled, stalled),
            (Suspended, bits(number, 5)),
            (DeletionBlocked, bits(number, 6)),
        ];
        conditions.extend(
            others.into_iter().filter(|(_, there)| *there).map(|(kind, _)| (kind, ConditionStatus::True)),
        );
        all.push(conditions);
    }
    all
}

fn shapes() -> Vec<Shape> {
    let mut all = vec![];
    for (generation, observed, said_of) in
        [(1, Some(-1), 1), (1, Some(1), 1), (3, Some(2), 2), (3, Some(2), 3), (3, Some(3), 3)]
    {
        for suspend in [None, Some(false), Some(true)] {
            for deleting in [false, true] {
                let shape = Shape { generation, observed, said_of, conditions: vec![], suspend, deleting };
                if generation == 1 && observed == Some(-1) {
                    all.push(Shape { observed: None, ..shape.clone() });
                    all.push(shape.clone());
                }
                all.extend(conditions().into_iter().map(|conditions| Shape { conditions, ..shape.clone() }));
            }
        }
    }
    all
}

/// Covers GO-07. Whatever the operator writes, for whatever kind and in whatever order: Argo CD shows as healthy just what is ready in its
/// newest generation, as degraded just what needs a person, and what is suspended as that.
#[test]
fn argo_cd_shows_the_expected_health_of_every_status() {
    let kinds = kinds();
    let [mut built_in, mut configured] = argo_cds();
    for (number, shape) in shapes().iter().enumerate() {
        let object = shape.object(&kinds[number % kinds.len()]);
        let check = |argo_cd: &mut Program, seen: &Value| {
            let told = argo_cd.look(seen);
            assert_eq!(told["health"]["status"], shape.argo_cd(), "{told} for {seen}");
        };
        check(&mut configured, &object);
        check(&mut built_in, &object);
        // One that turns them and one that reverses them.
        let orders = reordered(&object);
        orders.first().into_iter().chain(orders.last()).for_each(|seen| check(&mut built_in, seen));
    }
}

/// The same for Flux. Without a status an object would count as finished, which is why the API server fills one in.
#[test]
fn flux_concludes_the_expected_result_from_every_status() {
    let mut kstatus = Program::kstatus();
    for shape in shapes().into_iter().filter(|shape| shape.observed.is_some()) {
        let object = shape.object("Workspace");
        for seen in [vec![object.clone()], reordered(&object)].concat() {
            let told = kstatus.ask(&seen);
            assert_eq!(told["status"], shape.kstatus(), "{told} for {seen}");
        }
    }
}

//! What was spent: a [`Sample`] before a step and one after it, and their [`Difference`].
//!
//! Nothing here asks the operator to do more than usual, but for one scrape of its metrics in each sample, which is not counted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::Serialize;
use world::simulator::Call;
use world::{Error, Operator, Result, Simulator};

use crate::audit::Audit;
use crate::stack::KIND;

/// How often each thing happened.
pub type Counts = BTreeMap<String, u64>;

/// The units of the times in `/proc`, per second: the same on every Linux that Rust knows.
const UNITS: u64 = 100;

/// The counters at one moment.
pub struct Sample {
    at: Instant,
    calls: Counts,
    refused: u64,
    requests: Counts,
    reconciles: u64,
    /// CPU time of the operators in milliseconds, before and after the scrapes that this sample needs.
    cpu_ms: [u64; 2],
    /// Memory of the operators.
    pub rss_kib: u64,
}

/// What happened between two samples.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Difference {
    /// How long the step took.
    pub seconds: f64,
    /// Calls to the account by method and path; ids in the path are `*`.
    pub calls: Counts,
    /// Calls that the account refused because of its rate limits.
    pub refused: u64,
    /// The operator's requests to the API server, by verb and resource.
    pub requests: Counts,
    /// Reconciles of the kind that is measured.
    pub reconciles: u64,
    /// CPU time of the operators, in milliseconds.
    pub cpu_ms: u64,
    /// Memory of the operators at the end.
    pub rss_kib: u64,
}

impl Sample {
    /// Reads all counters. Those of several operators are added.
    pub fn take(account: &Simulator, audit: &mut Audit, operators: &[Operator]) -> Result<Sample> {
        let journal = account.journal();
        let requests = audit.read()?.clone();
        let (mut cpu, mut rss_kib, mut reconciles) = ([0, 0], 0, 0);
        for operator in operators {
            cpu[0] += cpu_ms(operator)?;
            reconciles += reconciled(&scrape(operator.metrics).map_err(Error::at("reading the metrics"))?);
            cpu[1] += cpu_ms(operator)?;
            rss_kib += process(operator, "status", rss_in)?;
        }
        let refused = journal.iter().filter(|call| call.status == Some(429)).count() as u64;
        let calls = counted(&journal);
        Ok(Sample { at: Instant::now(), calls, refused, requests, reconciles, cpu_ms: cpu, rss_kib })
    }

    /// What happened since an earlier sample of the same process, in a step that ended at this time.
    pub fn since(&self, before: &Sample, ended: Instant) -> Difference {
        Difference {
            seconds: ended.saturating_duration_since(before.at).as_secs_f64(),
            calls: grown(&before.calls, &self.calls),
            refused: self.refused.saturating_sub(before.refused),
            requests: grown(&before.requests, &self.requests),
            reconciles: self.reconciles.saturating_sub(before.reconciles),
            cpu_ms: self.cpu_ms[0].saturating_sub(before.cpu_ms[1]),
            rss_kib: self.rss_kib,
        }
    }
}

impl Difference {
    /// All calls to the account.
    pub fn sent(&self) -> u64 {
        self.calls.values().sum()
    }

    /// All writes to the API server, events too.
    pub fn writes(&self) -> u64 {
        self.requested(|verb, _| ["create", "update", "patch", "delete"].contains(&verb))
    }

    /// Writes of events.
    pub fn events(&self) -> u64 {
        self.requested(|verb, resource| ["create", "patch"].contains(&verb) && resource == "events")
    }

    fn requested(&self, is: impl Fn(&str, &str) -> bool) -> u64 {
        let fits = |name: &str| name.split_once(' ').is_some_and(|(verb, resource)| is(verb, resource));
        self.requests.iter().filter(|(name, _)| fits(name)).map(|(_, count)| count).sum()
    }
}

/// CPU time of a running operator so far, in milliseconds.
pub fn cpu_ms(operator: &Operator) -> Result<u64> {
    process(operator, "stat", cpu_ms_in)
}

/// A number of a file in `/proc` about the operator.
fn process(operator: &Operator, file: &str, read: impl Fn(&str) -> Option<u64>) -> Result<u64> {
    let path = format!("/proc/{}/{file}", operator.pid());
    let text = fs::read_to_string(&path).map_err(Error::at(&path))?;
    read(&text).ok_or_else(|| Error::new(format_args!("{path} has another form than expected")))
}

/// User and system time in `/proc/PID/stat`, in milliseconds.
fn cpu_ms_in(stat: &str) -> Option<u64> {
    // The name of the program is in parentheses, and may contain spaces and parentheses itself.
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * 1_000 / UNITS)
}

/// Resident memory in `/proc/PID/status`, in KiB.
fn rss_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the operator exposes at this address.
fn scrape(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.0 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(response.lines().next().unwrap_or("no response").to_owned())),
    }
}

/// The reconciles of the measured kind, whatever their result, in the text of a scrape.
fn reconciled(metrics: &str) -> u64 {
    let kind = format!("kind=\"{KIND}\"");
    let ours =
        |series: &str| series.starts_with("databricks_operator_reconcile_total{") && series.contains(&kind);
    let samples = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    samples.filter(|(series, _)| ours(series)).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

fn counted(journal: &[Call]) -> Counts {
    let mut counts = Counts::new();
    for call in journal {
        *counts.entry(format!("{} {}", call.method, without_ids(&call.path))).or_default() += 1;
    }
    counts
}

/// A path with `*` in place of numbers and UUIDs.
fn without_ids(path: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_uuid = |part: &str| {
        let hexadecimal = part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        hexadecimal && part.split('-').map(str::len).eq([8_usize, 4, 4, 4, 12])
    };
    let parts = path.split('/').map(|part| if is_number(part) || is_uuid(part) { "*" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// What grew, and by how much.
fn grown(before: &Counts, after: &Counts) -> Counts {
    let more = |(name, count): (&String, &u64)| {
        let more = count.saturating_sub(before.get(name).copied().unwrap_or_default());
        (more > 0).then(|| (name.clone(), more))
    };
    after.iter().filter_map(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194304 99 0 0 0 250 31 0 0 20 0 5 0 100 1000 200";
        assert_eq!(cpu_ms_in(stat), Some(2_810));
        assert_eq!(cpu_ms_in("12 (operator) S 1"), None);
        assert_eq!(rss_in("VmHWM:\t  900 kB\nVmRSS:\t  812 kB\n"), Some(812));
        assert_eq!(rss_in("Name:\toperator\n"), None);
    }

    #[test]
    fn reconciles_of_one_kind_are_added_whatever_their_result() {
        let metrics = "# HELP databricks_operator_reconcile_total Reconciliations\n\
            databricks_operator_reconcile_total{kind=\"PermissionAssignment\",result=\"done\"} 7\n\
            databricks_operator_reconcile_total{kind=\"PermissionAssignment\",result=\"again\"} 5\n\
            databricks_operator_reconcile_total{kind=\"Group\",result=\"done\"} 100\n\
            databricks_operator_reconcile_duration_seconds_count{kind=\"PermissionAssignment\"} 50\n";
        assert_eq!(reconciled(metrics), 12);
    }

    #[test]
    fn ids_in_a_path_are_left_out() {
        let account = "0a1b2c3d-0000-4000-8000-000000000001";
        for (path, expected) in [
            (
                format!("/api/2.0/accounts/{account}/workspaces/90/permissionassignments/principals/71"),
                "/api/2.0/accounts/*/workspaces/*/permissionassignments/principals/*",
            ),
            (format!("/oidc/accounts/{account}/v1/token"), "/oidc/accounts/*/v1/token"),
            ("/.well-known/databricks-config".to_owned(), "/.well-known/databricks-config"),
        ] {
            assert_eq!(without_ids(&path), expected);
        }
    }

    #[test]
    fn a_difference_has_what_grew() {
        let before = counts(&[("GET a", 2), ("PUT b", 1)]);
        let after = counts(&[("GET a", 2), ("PUT b", 4), ("DELETE b", 1)]);
        assert_eq!(grown(&before, &after), counts(&[("PUT b", 3), ("DELETE b", 1)]));
    }

    #[test]
    fn writes_contain_events_and_no_reads() {
        let requests = counts(&[
            ("patch permissionassignments/status", 20),
            ("patch permissionassignments", 10),
            ("create events", 10),
            ("patch events", 1),
            ("get secrets", 5),
            ("watch permissionassignments", 1),
        ]);
        let difference = Difference { requests, ..Difference::default() };
        assert_eq!((difference.writes(), difference.events()), (41, 11));
    }
}

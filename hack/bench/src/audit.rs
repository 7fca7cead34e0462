//! The operator's requests to the API server, counted in the audit log: exactly its own, as it is a user of its own there.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;
use world::{Error, Result};

use crate::count::Counts;

/// What was read of an audit log so far.
pub struct Audit {
    path: PathBuf,
    user: String,
    bytes: u64,
    counts: Counts,
}

/// A line of the log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    resource: String,
    subresource: Option<String>,
}

impl Audit {
    /// The requests of this user in the log at this path.
    pub fn of(path: PathBuf, user: &str) -> Audit {
        Audit { path, user: user.to_owned(), bytes: 0, counts: Counts::new() }
    }

    /// Reads what was added. Returns all requests so far by verb and resource, such as `patch permissionassignments/status`.
    pub fn read(&mut self) -> Result<&Counts> {
        let failed = |error| Error::new(format_args!("{}: {error}", self.path.display()));
        let mut log = File::open(&self.path).map_err(failed)?;
        log.seek(SeekFrom::Start(self.bytes)).map_err(failed)?;
        let mut log = BufReader::new(log);
        let mut line = String::new();
        // A line that is being written is left for the next time.
        while log.read_line(&mut line).map_err(failed)? > 0 && line.ends_with('\n') {
            self.bytes += line.len() as u64;
            if line.contains(&self.user)
                && let Some(request) = request(&line, &self.user)?
            {
                *self.counts.entry(request).or_default() += 1;
            }
            line.clear();
        }
        Ok(&self.counts)
    }

    /// How many requests were read so far.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// The verb and the resource of a request of this user that is complete.
fn request(line: &str, user: &str) -> Result<Option<String>> {
    let entry: Entry = serde_json::from_str(line).map_err(Error::at("a line of the audit log"))?;
    if entry.user.username != user || entry.stage != "ResponseComplete" {
        return Ok(None);
    }
    Ok(entry.object_ref.map(|object| {
        let subresource = object.subresource.map(|name| format!("/{name}")).unwrap_or_default();
        format!("{} {}{subresource}", entry.verb, object.resource)
    }))
}

#[cfg(test)]
mod tests {
    use super::request;

    const USER: &str = "system:serviceaccount:default:operator";

    fn line(stage: &str, user: &str, object: &str) -> String {
        format!(
            r#"{{"kind":"Event","stage":"{stage}","verb":"patch","user":{{"username":"{user}"}}{object}}}"#
        )
    }

    #[test]
    fn a_request_of_the_user_is_its_verb_and_resource() {
        let status = r#","objectRef":{"resource":"permissionassignments","name":"a","subresource":"status"}"#;
        let events = r#","objectRef":{"resource":"events","namespace":"default"}"#;
        let known =
            |stage: &str, user: &str, object: &str| request(&line(stage, user, object), USER).unwrap();
        let complete = "ResponseComplete";
        assert_eq!(known(complete, USER, status).as_deref(), Some("patch permissionassignments/status"));
        assert_eq!(known(complete, USER, events).as_deref(), Some("patch events"));
        assert_eq!(known("ResponseStarted", USER, status), None);
        assert_eq!(known(complete, "admin", status), None);
        assert_eq!(known(complete, USER, ""), None);
    }
}

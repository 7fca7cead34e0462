//! The one call to etcd itself. Over the JSON form of its API, as a gRPC client would be a large dependency for it;
//! HTTP/1.0 ends a response with the connection, so there is nothing to parse.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use crate::error::Error;

const STATUS: &str = "/v3/maintenance/status";
const COMPACTION: &str = "/v3/kv/compaction";

/// Makes the newest revision of the store the oldest that can be read.
pub(crate) fn compact(address: SocketAddr) -> Result<(), Error> {
    let status = post(address, STATUS, "{}")?;
    let revision = status.split_once("\"revision\":\"").and_then(|(_, rest)| rest.split_once('"'));
    let Some((revision, _)) = revision else {
        return Err(Error::Etcd { path: STATUS, answer: status });
    };
    match post(address, COMPACTION, &format!("{{\"revision\":\"{revision}\"}}")) {
        // Nothing was written since the last time.
        Err(Error::Etcd { answer, .. }) if answer.contains("has been compacted") => Ok(()),
        result => result.map(|_| ()),
    }
}

/// The answer, head and body, if it is a 200.
fn post(address: SocketAddr, path: &'static str, body: &str) -> Result<String, Error> {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let length = body.len();
        write!(stream, "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let answer = ask().map_err(Error::io("asking etcd for", Path::new(path)))?;
    let status = answer.lines().next().and_then(|line| line.split(' ').nth(1));
    if status == Some("200") { Ok(answer) } else { Err(Error::Etcd { path, answer }) }
}

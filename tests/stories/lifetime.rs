//! What a test starts ends with it, also when it is killed. Without that a broken test would leave operators that go on
//! writing, and ports that stay taken.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use world::{Cluster, Operator, eventually, fast, fresh_dir};

use crate::support::{BINARY, SOON};

#[tokio::test]
async fn a_killed_test_leaves_nothing_running() {
    let own = std::env::current_exe().unwrap();
    let mut holder = Command::new(own);
    holder
        .args(["--exact", "lifetime::holder", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let addresses = tokio::task::spawn_blocking(move || {
        let mut lines = lines.map_while(Result::ok);
        lines.find_map(|line| line.strip_prefix("holding ").map(str::to_owned)).expect("the holder holds")
    });
    let addresses = addresses.await.unwrap();
    let addresses: Vec<SocketAddr> = addresses.split(' ').map(|address| address.parse().unwrap()).collect();
    assert!(addresses.iter().all(answers), "{addresses:?}");

    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually("nothing answers", SOON, async || {
        let left: Vec<_> = addresses.iter().filter(|address| answers(address)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await
    .unwrap();
}

fn answers(address: &SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[tokio::test]
#[ignore = "runs as the process that is killed"]
async fn holder() {
    let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), "lifetime-").unwrap();
    let cluster = Cluster::start(&dir, Path::new(BINARY)).unwrap();
    let operator = Operator::start(Path::new(BINARY), &cluster, &fast(&[])).await.unwrap();
    // The test runner has begun a line of its own.
    let server = cluster.control_plane.url().trim_start_matches("https://");
    println!("\nholding {} {server}", operator.health);
    // Not for ever: it is not killed if the story fails before that.
    std::io::stdin().read_to_end(&mut vec![]).unwrap();
}

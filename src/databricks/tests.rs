//! The whole client against a server of plain sockets, which can misbehave in ways that no HTTP library would.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use secrecy::SecretString;

use super::*;

mod answers;
mod calls;
mod in_process;

const SECRET: &str = "dose-canary-of-the-secret";
const ACCOUNT: &str = "11111111-2222-3333-4444-555555555555";

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Received {
    /// Method, path and query: `GET /a?b=c`.
    call: String,
    head: String,
    body: String,
}

/// A server on loopback that remembers what it received; it ends with the process.
struct Server {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

/// What to do with a request: write to the socket and say whether the connection stays open.
type Answer = dyn Fn(&Received, &mut TcpStream) -> bool + Send + Sync;

impl Server {
    /// Answers every call but those for a token, which give `token-canary-<n>`.
    fn start(answer: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Server {
        let tokens = Mutex::new(0);
        Server::raw(move |received, socket| {
            if !received.call.starts_with("POST /oidc/") {
                return answer(received, socket);
            }
            let mut tokens = tokens.lock().unwrap();
            *tokens += 1;
            json(socket, 200, &format!(r#"{{"access_token":"token-canary-{tokens}","expires_in":3600}}"#))
        })
    }

    fn raw(answer: impl Fn(&Received, &mut TcpStream) -> bool + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, answer): (_, Arc<Answer>) = (received.clone(), Arc::new(answer));
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                thread::spawn(move || converse(socket, &log, &*answer));
            }
        });
        Server { port, received }
    }

    fn client(&self) -> Client {
        self.client_with(&Settings { request_timeout: Duration::from_secs(2), ..Settings::default() })
    }

    fn client_with(&self, settings: &Settings) -> Client {
        Client::new(self.connection(), settings).unwrap()
    }

    fn connection(&self) -> Connection {
        let policy = HostPolicy { allow_loopback_http: true, ..HostPolicy::default() };
        Connection {
            host: Host::parse(&format!("http://127.0.0.1:{}", self.port), &policy).unwrap(),
            account_id: ACCOUNT.to_owned(),
            client_id: "client-1".to_owned(),
            credentials: Credentials::Secret(SecretString::from(SECRET.to_owned())),
            on_google: false,
        }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    fn count(&self, call: &str) -> usize {
        self.received().iter().filter(|received| received.call.starts_with(call)).count()
    }
}

fn converse(mut socket: TcpStream, log: &Mutex<Vec<Received>>, answer: &Answer) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    while let Some(received) = read_request(&mut reader) {
        log.lock().unwrap().push(received.clone());
        if !answer(&received, &mut socket) {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Received> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let call = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    Some(Received { call, head, body: String::from_utf8(body).ok()? })
}

/// Writes a response with the right length; for use as the end of an `Answer`.
fn plain(socket: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> bool {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
    socket.write_all(&[head.as_bytes(), body].concat()).is_ok()
}

fn json(socket: &mut TcpStream, status: u16, body: &str) -> bool {
    plain(socket, status, "content-type: application/json\r\n", body.as_bytes())
}

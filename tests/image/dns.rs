//! A name server that knows one name, for the resolver in a static program: the pod's `/etc/resolv.conf` points to it.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A running server. Its thread ends with the process.
pub struct Server {
    pub address: Ipv4Addr,
    answered: Arc<AtomicUsize>,
}

impl Server {
    /// Serves 127.0.0.1 for this name, and no other name. `None` without a right to listen on port 53, the only one that
    /// resolvers ask.
    pub fn open(name: &'static str) -> Option<Server> {
        // An address of this machine that nobody else serves.
        let address = Ipv4Addr::new(127, 53, 65, 32);
        let socket = UdpSocket::bind((address, 53)).ok()?;
        let answered = Arc::<AtomicUsize>::default();
        let count = answered.clone();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                if let Some((answer, found)) = answer(&question[..length], name) {
                    count.fetch_add(found.into(), Ordering::Relaxed);
                    // Who has gone meanwhile needs none.
                    socket.send_to(&answer, from).ok();
                }
            }
        });
        Some(Server { address, answered })
    }

    /// How often it told the address.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

/// The answer to a question, and whether it has the address. RFC 1035, sections 4.1.1 to 4.1.3.
fn answer(question: &[u8], name: &str) -> Option<(Vec<u8>, bool)> {
    const HEADER: usize = 12;
    let (mut asked, mut at) = (vec![], HEADER);
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            break;
        }
        asked.push(String::from_utf8_lossy(question.get(at + 1..at + 1 + length)?).into_owned());
        at += 1 + length;
    }
    let end = at + 5;
    let is_a = question.get(at + 1..at + 3)? == [0, 1];
    let known = asked.join(".") == name;
    let found = known && is_a;
    // A name that is not there is answered with code 3; one without an address of this kind, with nothing.
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, found.into(), 0, 0, 0, 0]);
    answer.extend(question.get(HEADER..end)?);
    if found {
        // The name as in the question, type A, class IN, not to be kept, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some((answer, found))
}

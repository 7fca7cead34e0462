//! Log lines on their way out: from a queue, by a thread of its own, so that whoever logs never waits.
//!
//! A pipe that nobody reads fills up and then blocks its writer for ever. Here that is the thread alone. Lines that find the
//! queue full are dropped; the first that gets through again comes after one that says how many are missing. Where standard
//! error is closed there is nobody to tell, and all go nowhere.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;
use crate::databricks::plain;

/// Lines that may wait: some MB.
const QUEUE: usize = 4096;

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where lines go. Clones share the queue.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    /// Begins to write to `out`. Fails if there can be no further thread.
    pub fn to(out: impl Write + Send + 'static, format: LogFormat) -> io::Result<Lines> {
        let (queue, waiting) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let lines = Lines { queue, lost: lost.clone() };
        std::thread::Builder::new().name("log".into()).spawn(move || write(out, waiting, &lost, format))?;
        Ok(lines)
    }

    /// Waits until all that was logged so far is written, but no longer than this.
    pub fn flush(&self, patience: Duration) {
        let (done, wait) = sync_channel(1);
        // In a full queue there is no place for the question either: nobody reads.
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(patience);
        }
    }
}

fn write(mut out: impl Write, waiting: Receiver<Message>, lost: &AtomicU64, format: LogFormat) {
    for message in waiting {
        match message {
            Message::Line(line) => {
                let lost = lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ = out.write_all(missing(lost, format).as_bytes());
                }
                let _ = out.write_all(&line);
            }
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
    }
}

fn missing(lost: u64, format: LogFormat) -> String {
    let time = super::json::now();
    let message = "log lines are missing here: nobody read them in time";
    match format {
        LogFormat::Text => format!("{time}  WARN {message} lost={lost}\n"),
        LogFormat::Json => {
            format!(r#"{{"timestamp":"{time}","level":"WARN","message":"{message}","lost":{lost}}}"#) + "\n"
        }
    }
}

/// A line in which nothing but its end is one, and that reads as it is: names and the words of others are in it. The escapes
/// are also those of JSON.
pub fn one_line(line: &[u8]) -> Vec<u8> {
    let line = String::from_utf8_lossy(line);
    (plain(line.trim_end_matches('\n')) + "\n").into_bytes()
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;
    fn make_writer(&'a self) -> &'a Lines {
        self
    }
}

impl Write for &Lines {
    /// Takes one whole line, as the formatter hands it over, and keeps it one. Never fails: a failure would be reported to
    /// standard error.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(one_line(line))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes a line when it is let.
    struct Gate(Receiver<()>, Sender<String>);

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_finds_no_place_is_counted_and_told_once_there_is_some() {
        let (let_go, gate) = channel();
        let (out, written) = channel();
        let lines = Lines::to(Gate(gate, out), LogFormat::Json).unwrap();
        let patience = Duration::from_millis(50);
        for n in 0..QUEUE + 10 {
            (&lines).write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        let waited = std::time::Instant::now();
        lines.flush(patience);
        assert!(waited.elapsed() < Duration::from_secs(5), "the end is not held up");
        drop((let_go, lines));
        // Until the thread has written all and ended.
        let written: Vec<String> = written.iter().collect();
        let told: Vec<&String> = written.iter().filter(|line| line.contains("lost")).collect();
        let [told] = told[..] else { panic!("{told:?}") };
        let told: serde_json::Value = serde_json::from_str(told).unwrap();
        let lost = usize::try_from(told["lost"].as_u64().unwrap()).unwrap();
        assert_eq!(lost + written.len() - 1, QUEUE + 10);
    }

    #[test]
    fn what_a_line_says_is_neither_a_line_nor_hidden() {
        let (let_go, gate) = channel();
        let (out, written) = channel();
        let lines = Lines::to(Gate(gate, out), LogFormat::Text).unwrap();
        drop(let_go);
        let hostile = "WARN \"a\nFAKE\r\u{1b}[2K\u{85}\u{2028}\u{202e}\u{2066}\" é 日本";
        (&lines).write_all(format!("{hostile}\n").as_bytes()).unwrap();
        let object = serde_json::json!({"message": hostile});
        (&lines).write_all(format!("{object}\n").as_bytes()).unwrap();
        drop(lines);
        let written: Vec<String> = written.iter().collect();
        assert_eq!(written[0], "WARN \"a\\nFAKE\\r\\u001b[2K\\u0085\\u2028\\u202e\\u2066\" é 日本\n");
        let json = written[1].strip_suffix('\n').unwrap();
        assert!(
            !json.contains(|c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c)),
            "{json:?}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(json).unwrap(), object);
    }
}

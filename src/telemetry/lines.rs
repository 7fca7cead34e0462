//! Log lines to standard error: from a queue, by a thread of its own, so that a caller that logs never waits.
//!
//! A pipe without a reader fills up and then blocks its writer for ever. Here that is the thread alone. Lines that find the
//! queue full are dropped, and so are those that cannot be written, such as to a file on a full disk; the next one that
//! succeeds follows a line that reports how many are missing. If standard error is closed, all lines are dropped.
//!
//! Why this is ours: the non-blocking writer of `tracing-appender` has such a queue and such a thread, but its thread ignores a
//! write that fails, and does not end a line that was written in part. Its count of the lines that found the queue full is for
//! the program to read; the log itself shows no gap. Two tests here promise otherwise: a full queue and a full disk each leave
//! one line with the number of those missing, and the next line stands alone. So all but the queue would remain ours.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::databricks::plain;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Lines that may wait: some MB.
const QUEUE: usize = 4096;

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// A writer of lines. Clones share the queue.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    /// Begins to write to `out`. Fails if no thread can be started.
    pub fn to(out: impl Write + Send + 'static, format: LogFormat) -> io::Result<Lines> {
        let (queue, waiting) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let lines = Lines { queue, lost: lost.clone() };
        std::thread::Builder::new().name("log".into()).spawn(move || write(out, waiting, &lost, format))?;
        Ok(lines)
    }

    /// Waits until everything that was logged so far is written, but no longer than this.
    pub fn flush(&self, longest: Duration) {
        let (done, wait) = sync_channel(1);
        // A full queue has no room for the flush either: nothing reads it.
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(longest);
        }
    }
}

fn write(mut out: impl Write, waiting: Receiver<Message>, lost: &AtomicU64, format: LogFormat) {
    let mut partial = false;
    for message in waiting {
        match message {
            Message::Line(line) => {
                let missed = lost.swap(0, Ordering::Relaxed);
                let reported =
                    missed == 0 || write_line(&mut out, missing(missed, format).as_bytes(), &mut partial);
                if !reported {
                    lost.fetch_add(missed, Ordering::Relaxed);
                }
                if !reported || !write_line(&mut out, &line, &mut partial) {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
    }
}

/// Writes a line; false if not all of it could be written. `partial` says that the last write did not finish its line: it
/// is ended first.
fn write_line(out: &mut impl Write, line: &[u8], partial: &mut bool) -> bool {
    let end: &[u8] = if *partial { b"\n" } else { b"" };
    for mut rest in [end, line] {
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(0) => return false,
                Ok(length) => {
                    *partial = rest[length - 1] != b'\n';
                    rest = &rest[length..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
    true
}

fn missing(lost: u64, format: LogFormat) -> String {
    let time = super::json::now();
    let message = "log lines are missing here: they were not read in time, or there was no room for them";
    match format {
        LogFormat::Text => format!("{time}  WARN {message} lost={lost}\n"),
        LogFormat::Json => {
            format!(r#"{{"timestamp":"{time}","level":"WARN","message":"{message}","lost":{lost}}}"#) + "\n"
        }
    }
}

/// A text as one line that reads as it is: it may have names and texts of others in it. The escapes are also those of JSON.
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
    /// Takes one whole line from the formatter, and keeps it one. Never fails: a failure would be reported to standard
    /// error.
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

    /// Takes a line when it is allowed to, and reports when it has one.
    struct Gate {
        has_line: Sender<()>,
        release: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.has_line.send(());
            let _ = self.release.recv();
            let _ = self.written.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_find_the_queue_full_are_counted_and_reported_once_there_is_room() {
        let ((has_line, taken), (release, gate), (out, written)) = (channel(), channel(), channel());
        let gate = Gate { has_line, release: gate, written: out };
        let lines = Lines::to(gate, LogFormat::Json).unwrap();
        let line = |n: usize| (&lines).write_all(format!("line {n}\n").as_bytes()).unwrap();
        line(0);
        // From here on the thread takes nothing out of the queue.
        taken.recv().unwrap();
        (1..=QUEUE + 10).for_each(line);
        let (waited, patience) = (std::time::Instant::now(), Duration::from_secs(30));
        lines.flush(patience);
        assert!(waited.elapsed() < patience, "a full queue delays nothing");
        drop((release, lines));
        // Until the thread has written all and ended.
        let written: Vec<String> = written.iter().collect();
        let reports: Vec<&String> = written.iter().filter(|line| line.contains("lost")).collect();
        let [report] = reports[..] else { panic!("{reports:?}") };
        let report: serde_json::Value = serde_json::from_str(report).unwrap();
        assert_eq!(report["lost"], 10);
        assert_eq!(written.len(), 1 + QUEUE + 1, "the one before, those in the queue, and the report");
    }

    #[test]
    fn text_in_a_line_makes_no_other_line_and_hides_nothing() {
        let ((has_line, _), (_, release), (out, written)) = (channel(), channel(), channel());
        let gate = Gate { has_line, release, written: out };
        let lines = Lines::to(gate, LogFormat::Text).unwrap();
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

    /// A disk that takes some bytes, is full for some writes, and then has room.
    struct Disk {
        room: usize,
        refusals: usize,
        written: Sender<Vec<u8>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 && self.refusals > 0 {
                self.refusals -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let length = if self.refusals > 0 { self.room.min(bytes.len()) } else { bytes.len() };
            self.room = self.room.saturating_sub(length);
            self.written.send(bytes[..length].to_vec()).unwrap();
            Ok(length)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_the_next_one_stands_alone() {
        let (out, written) = channel();
        let disk = Disk { room: 12, refusals: 3, written: out };
        let lines = Lines::to(disk, LogFormat::Json).unwrap();
        for line in ["first\n", "a part of it\n", "b\n", "c\n", "d\n", "e\n"] {
            (&lines).write_all(line.as_bytes()).unwrap();
        }
        drop(lines);
        let written = String::from_utf8(written.iter().flatten().collect()).unwrap();
        let [first, part, report, rest @ ..] = &written.lines().collect::<Vec<_>>()[..] else {
            panic!("{written}")
        };
        assert_eq!((*first, *part, rest), ("first", "a part", &["d", "e"][..]), "{written}");
        let report: serde_json::Value = serde_json::from_str(report).unwrap();
        assert_eq!(report["lost"], 3, "the part, b and c: {written}");
    }
}

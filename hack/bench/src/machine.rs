//! What was measured, on what, and when: without it no figure can be compared with another.

use std::fmt;
use std::fs;
use std::process::Command;

use serde::Serialize;
use world::{Error, Result};

/// The machine and the sources.
#[derive(Serialize)]
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    /// How many processes wanted to run before this program began.
    load: String,
    commit: String,
    date: String,
}

impl Machine {
    /// This machine, now.
    pub fn read() -> Result<Machine> {
        let file = |path: &str| fs::read_to_string(path).map_err(Error::at(path.to_owned()));
        let (cpu, memory, load) = (file("/proc/cpuinfo")?, file("/proc/meminfo")?, file("/proc/loadavg")?);
        let memory = first_number(field(&memory, "MemTotal").unwrap_or_default());
        Ok(Machine {
            cpu: field(&cpu, "model name").unwrap_or("of an unknown model").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.unwrap_or_default() / 1024,
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            commit: printed("git", &["describe", "--always", "--exclude=*", "--dirty= with changes"])?,
            date: printed("date", &["-u", "+%Y-%m-%d"])?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, memory_mib, load, commit, date } = self;
        let gib = *memory_mib as f64 / 1024.0;
        write!(f, "Commit {commit}, {date}; {cores} cores ({cpu}), {gib:.0} GiB, load {load} at the start.")
    }
}

/// The value of the first line `NAME: VALUE` with this name.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name).map(|(_, it)| it)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// What a program prints.
fn printed(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().map_err(Error::at(program.to_owned()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::new(format_args!("{program} {}: {why}", arguments.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::{field, first_number};

    #[test]
    fn a_field_is_read_with_its_unit() {
        let text = "MemTotal:       24689764 kB\nmodel name\t: Some CPU @ 2.00GHz\nmodel name\t: Another\n";
        assert_eq!(field(text, "MemTotal").and_then(first_number), Some(24_689_764));
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2.00GHz"));
        assert_eq!(field(text, "model"), None);
    }
}
